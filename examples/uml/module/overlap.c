// SPDX-License-Identifier: GPL-2.0
/*
 * Copies within one page, told by name: write one of `orders` to /proc/overlap, read there what came of it.
 *
 * memcpy() may not be called with areas that overlap. On x86-64 it chooses by the low bytes of the two addresses whether
 * to begin with the first or with the last 32 bytes, so the same mistake does damage at one address and none at another:
 * `upwards` and `downwards` lose data, `lucky` does not.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

#include "orders.h"

struct order {
	const char *name;
	int (*copy)(u8 *destination, const u8 *source, size_t size);
	size_t destination, source, size;	/* offsets in the page, bytes */
};

static u8 *page, *before;

static as_written int copy_upwards(u8 *destination, const u8 *source, size_t size)
{
	memcpy(destination, source, size);
	return destination[0];
}

static as_written int copy_downwards(u8 *destination, const u8 *source, size_t size)
{
	memcpy(destination, source, size);
	return destination[0];
}

static as_written int copy_apart(u8 *destination, const u8 *source, size_t size)
{
	memcpy(destination, source, size);
	return destination[0];
}

static as_written int copy_to_itself(u8 *destination, const u8 *source, size_t size)
{
	memcpy(destination, source, size);
	return destination[0];
}

static as_written int move(u8 *destination, const u8 *source, size_t size)
{
	memmove(destination, source, size);
	return destination[0];
}

static const struct order orders[] = {
	/* overlaps */
	{ "upwards",        copy_upwards,   0x28f, 0x270, 171 },
	{ "downwards",      copy_downwards, 0x270, 0x28f, 171 },
	{ "lucky",          copy_downwards, 0xe8a, 0xea9, 171 },
	/* none */
	{ "adjacent-above", copy_apart,     0x270 + 171, 0x270, 171 },
	{ "adjacent-below", copy_apart,     0x270, 0x270 + 171, 171 },
	{ "nothing",        copy_apart,     0x270, 0x270, 0 },
	{ "same",           copy_to_itself, 0x270, 0x270, 171 },
	{ "memmove",        move,           0x28f, 0x270, 171 },
};

static void fill_page(void)
{
	size_t i;

	for (i = 0; i < PAGE_SIZE; i++)
		page[i] = before[i] = i * 7 + i / 256;
}

static as_written void obey(const struct order *order)
{
	u8 *destination = page + order->destination, *source = page + order->source;
	size_t i, wrong = 0;

	fill_page();
	order->copy(destination, source, order->size);
	for (i = 0; i < order->size; i++)
		wrong += destination[i] != before[order->source + i];
	snprintf(result, sizeof(result), "overlap: %s dst=0x%px src=0x%px size=%zu: %zu bytes damaged\n", order->name,
		 destination, source, order->size, wrong);
}

static ssize_t order_written(struct file *file, const char __user *text, size_t size, loff_t *position)
{
	char word[32] = "";
	size_t i;

	if (size >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, text, size))
		return -EFAULT;
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		if (sysfs_streq(word, orders[i].name)) {
			obey(&orders[i]);
			return size;
		}
	}
	return -EINVAL;
}

static int __init overlap_init(void)
{
	page = (u8 *)__get_free_page(GFP_KERNEL);
	before = (u8 *)__get_free_page(GFP_KERNEL);
	if (page && before && proc_create("overlap", 0600, NULL, &operations))
		return 0;
	free_page((unsigned long)page);
	free_page((unsigned long)before);
	return -ENOMEM;
}

static void __exit overlap_exit(void)
{
	remove_proc_entry("overlap", NULL);
	free_page((unsigned long)page);
	free_page((unsigned long)before);
}

module_init(overlap_init);
module_exit(overlap_exit);
MODULE_DESCRIPTION("Copies that overlap, and copies that do not");
MODULE_LICENSE("GPL");
