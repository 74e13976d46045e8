// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/xen/hypercall: memory for the arguments of hypercalls that stays where it
 * is. The kernel moves an ordinary page of a process now and then, and Xen
 * would find nothing at its address for that moment.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "guard.h"

static int buffers_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long address;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_DONTCOPY | VM_DONTEXPAND);
	for (address = vma->vm_start; address < vma->vm_end; address += PAGE_SIZE) {
		struct page *page;
		int error;

		if (fatal_signal_pending(current))
			return -EINTR;
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!page)
			return -ENOMEM;
		error = vm_insert_page(vma, address, page);
		/* The mapping holds it from now on, and frees it at its end. */
		put_page(page);
		if (error)
			return error;
		cond_resched();
	}
	return 0;
}

const struct file_operations xen_privcmdbuf_fops = {
	.owner = THIS_MODULE,
	.mmap = buffers_mmap,
};
EXPORT_SYMBOL_GPL(xen_privcmdbuf_fops);
