// SPDX-License-Identifier: GPL-2.0
/*
 * Items in a page, the way a B-tree keeps them in a leaf: headers in the order of their keys from the beginning, data
 * in the opposite order from the end, so that the free space is in between. An insertion moves the headers behind it up
 * and their data down, by the size of the new data.
 *
 * The mistake is in move_in_leaf(). It worked for years: most machines copy upwards, most of the time.
 *
 * Orders written to /proc/leaf, with the result to be read there:
 *
 *   story           two items, then one of 31 bytes between them: 171 bytes move by 31. No damage.
 *   fill SEED       an empty leaf, then insertions at all keys until it is full; SEED chooses the order
 *   repaired SEED   the same with memmove
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

#include "orders.h"

enum { KEYS = 251 };

struct item {
	u16 key;
	u16 offset;	/* of its data in the page */
	u16 size;
};

struct leaf {
	u16 count;
	struct item items[];
};

static struct leaf *leaf;
static bool repaired;

/* What the item of a key must hold. */
static u8 content(u16 key, size_t index)
{
	return key * 37 + index;
}

static size_t data_begin(const struct leaf *leaf, unsigned int slot)
{
	return slot ? leaf->items[slot - 1].offset : PAGE_SIZE;
}

static size_t free_space(const struct leaf *leaf)
{
	return data_begin(leaf, leaf->count) - offsetof(struct leaf, items) - leaf->count * sizeof(struct item);
}

static as_written void move_in_leaf(struct leaf *leaf, size_t destination, size_t source, size_t size)
{
	u8 *page = (u8 *)leaf;

	if (destination > source || repaired)
		memmove(page + destination, page + source, size);
	else
		memcpy(page + destination, page + source, size);	/* downwards nothing is overwritten before it is read */
	barrier();
}

static as_written void make_room(struct leaf *leaf, unsigned int slot, size_t size)
{
	size_t headers = offsetof(struct leaf, items) + slot * sizeof(struct item);
	size_t lowest = data_begin(leaf, leaf->count), end = data_begin(leaf, slot);
	unsigned int i;

	move_in_leaf(leaf, headers + sizeof(struct item), headers, (leaf->count - slot) * sizeof(struct item));
	move_in_leaf(leaf, lowest - size, lowest, end - lowest);
	leaf->count++;
	for (i = slot + 1; i < leaf->count; i++)
		leaf->items[i].offset -= size;
}

static as_written bool insert_item(struct leaf *leaf, u16 key, u16 size)
{
	unsigned int slot = 0;
	size_t end, i;

	if (free_space(leaf) < size + sizeof(struct item))
		return false;
	while (slot < leaf->count && leaf->items[slot].key < key)
		slot++;
	end = data_begin(leaf, slot);
	make_room(leaf, slot, size);
	leaf->items[slot] = (struct item){ .key = key, .offset = end - size, .size = size };
	for (i = 0; i < size; i++)
		((u8 *)leaf)[end - size + i] = content(key, i);
	return true;
}

static unsigned int damaged_items(const struct leaf *leaf)
{
	unsigned int slot, damaged = 0;
	size_t i;

	for (slot = 0; slot < leaf->count; slot++) {
		const struct item *item = &leaf->items[slot];

		for (i = 0; i < item->size; i++)
			if (((const u8 *)leaf)[item->offset + i] != content(item->key, i))
				break;
		damaged += i < item->size;
	}
	return damaged;
}

static void tell_story(void)
{
	insert_item(leaf, 10, 172);
	insert_item(leaf, 30, 171);
	insert_item(leaf, 20, 31);
}

static void fill(unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < KEYS; i++)
		if (!insert_item(leaf, (i * 97 + seed) % KEYS, 20 + (i * 29 + seed) % 90))
			break;
}

static ssize_t order_written(struct file *file, const char __user *text, size_t size, loff_t *position)
{
	char line[32] = "", word[16];
	unsigned int seed = 0;

	if (size >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, size))
		return -EFAULT;
	if (sscanf(line, "%15s %u", word, &seed) < 1)
		return -EINVAL;
	leaf->count = 0;
	repaired = strcmp(word, "repaired") == 0;
	if (strcmp(word, "story") == 0)
		tell_story();
	else if (strcmp(word, "fill") == 0 || repaired)
		fill(seed);
	else
		return -EINVAL;
	snprintf(result, sizeof(result), "leaf: %s at 0x%px: %u items, %u damaged\n", word, leaf, leaf->count,
		 damaged_items(leaf));
	return size;
}

static int __init leaf_init(void)
{
	leaf = (struct leaf *)__get_free_page(GFP_KERNEL);
	if (leaf && proc_create("leaf", 0600, NULL, &operations))
		return 0;
	free_page((unsigned long)leaf);
	return -ENOMEM;
}

static void __exit leaf_exit(void)
{
	remove_proc_entry("leaf", NULL);
	free_page((unsigned long)leaf);
}

module_init(leaf_init);
module_exit(leaf_exit);
MODULE_DESCRIPTION("Items in a page, moved with memcpy where memmove was needed");
MODULE_LICENSE("GPL");
