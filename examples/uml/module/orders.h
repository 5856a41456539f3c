/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file in /proc that takes orders and shows what came of the last one. Who includes this has order_written(), which
 * obeys one and leaves its text in `result`.
 */
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

/* Functions as they are written, so that each is a frame of its own in a backtrace. */
#define as_written __attribute__((noipa))

static char result[160] = "nothing done yet\n";

static ssize_t order_written(struct file *file, const char __user *text, size_t size, loff_t *position);

static int show_result(struct seq_file *file, void *none)
{
	seq_puts(file, result);
	return 0;
}

static int opened(struct inode *inode, struct file *file)
{
	return single_open(file, show_result, NULL);
}

static const struct proc_ops operations = {
	.proc_open = opened,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
	.proc_write = order_written,
};
