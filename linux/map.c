// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames of other domains, mapped into a process.
 *
 * A process makes room with mmap() and names the frames with an ioctl. In a PV
 * domain 0 its page table then holds machine frames. Otherwise the frames
 * are put behind pages of the kernel's address space that hold no memory, which
 * are kept until the last part of the room is unmapped.
 */
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/xen/hypercall.h>
#include <asm/xen/hypervisor.h>
#include <asm/xen/page.h>
#include <xen/features.h>
#include <xen/interface/memory.h>
#include <xen/xen.h>
#include <xen/xen-ops.h>
#include <uapi/xen/privcmd.h>

#include "guard.h"

/* How many frames are mapped while the address space is locked once. */
#define BATCH 256

/* The pages behind a room. Parts of a room that was split share them. */
struct pages {
	refcount_t users;
	/* Where the room began, as its mmap() said. */
	unsigned long first;
	unsigned int number;
	struct page *page[] __counted_by(number);
};

static void room_open(struct vm_area_struct *vma)
{
	struct pages *pages = vma->vm_private_data;

	if (pages)
		refcount_inc(&pages->users);
}

static void room_close(struct vm_area_struct *vma)
{
	struct pages *pages = vma->vm_private_data;

	if (!pages || !refcount_dec_and_test(&pages->users))
		return;
	/* A page behind which Xen still has something must not be given back. */
	if (xen_unmap_domain_gfn_range(vma, pages->number, pages->page) == 0)
		xen_free_unpopulated_pages(pages->number, pages->page);
	kvfree(pages);
}

static vm_fault_t room_fault(struct vm_fault *fault)
{
	return VM_FAULT_SIGBUS;
}

static int is_empty(pte_t *entry, unsigned long address, void *data)
{
	return pte_none(ptep_get(entry)) ? 0 : -EBUSY;
}

/*
 * Nothing is mapped twice: what is mapped there would be lost, and never given
 * back. Makes no page tables: a room can be larger than memory has tables for.
 */
static int room_is_empty(struct vm_area_struct *vma, unsigned long address, unsigned long number)
{
	return apply_to_existing_page_range(vma->vm_mm, address, number << PAGE_SHIFT, is_empty, NULL);
}

/*
 * In a PV domain the kernel cannot change what an entry permits where the frame
 * is another domain's: it looks for its own number of the frame, finds none, and
 * writes an entry for its own frame 0 in its place.
 */
static int room_protect(struct vm_area_struct *vma, unsigned long start, unsigned long end,
			unsigned long flags)
{
	if (xen_feature(XENFEAT_auto_translated_physmap))
		return 0;
	return room_is_empty(vma, start, (end - start) >> PAGE_SHIFT);
}

static const struct vm_operations_struct room_operations = {
	.open = room_open,
	.close = room_close,
	.mprotect = room_protect,
	.fault = room_fault,
};

int privcmd_mmap(struct file *file, struct vm_area_struct *vma)
{
	/* A private one would be copied on the first write. The kernel's function for this has other names elsewhere. */
	if ((vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE)
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &room_operations;
	vma->vm_private_data = NULL;
	return 0;
}

/* The room with @number pages from @address on, if there is such a one of ours. */
static struct vm_area_struct *room(unsigned long address, unsigned long number)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, address);

	if (!vma || vma->vm_ops != &room_operations || offset_in_page(address) ||
	    number > (vma->vm_end - address) >> PAGE_SHIFT)
		return NULL;
	return vma;
}

static int may_map(const struct file *file, u32 command, domid_t domain)
{
	struct guard_caller caller = guard_caller();

	if (!privcmd_may(file, domain))
		return -EPERM;
	return guard_ioctl(&caller, command, domain);
}

/* The pages behind a room from @address on, made if there are none; none in a PV domain. */
static struct page **room_pages(struct vm_area_struct *vma, unsigned long address)
{
	struct pages *pages = vma->vm_private_data;
	unsigned int number = vma_pages(vma);
	int error;

	if (!xen_feature(XENFEAT_auto_translated_physmap))
		return NULL;
	if (!pages) {
		if (vma_pages(vma) > INT_MAX)
			return ERR_PTR(-EINVAL);
		pages = kvzalloc(struct_size(pages, page, number), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
		if (!pages)
			return ERR_PTR(-ENOMEM);
		pages->number = number;
		error = xen_alloc_unpopulated_pages(number, pages->page);
		if (error) {
			kvfree(pages);
			return ERR_PTR(error);
		}
		refcount_set(&pages->users, 1);
		pages->first = vma->vm_pgoff;
		vma->vm_private_data = pages;
	}
	return pages->page + (vma->vm_pgoff - pages->first) + ((address - vma->vm_start) >> PAGE_SHIFT);
}

/*
 * Maps frames into a room; @errors gets an answer for each. Fails only where
 * there is none for some of them.
 */
static int map_some(struct vm_area_struct *vma, unsigned long address, xen_pfn_t *frames,
		    unsigned int number, int *errors, domid_t domain)
{
	struct page **pages;
	unsigned int index;
	int result;

	result = room_is_empty(vma, address, number);
	if (result)
		return result;
	pages = room_pages(vma, address);
	if (IS_ERR(pages))
		return PTR_ERR(pages);
	/* A result below zero can also be the answer for the last frame. */
	for (index = 0; index < number; index++)
		errors[index] = 1;
	result = xen_remap_domain_gfn_array(vma, address, frames, number, errors,
					    vma->vm_page_prot, domain, pages);
	for (index = 0; index < number; index++) {
		if (errors[index] > 0)
			return result < 0 ? result : -EIO;
	}
	return 0;
}

/* What MMAPBATCH and its second version have in common. */
struct batch {
	unsigned int number;
	domid_t domain;
	unsigned long address;
	const xen_pfn_t __user *frames;
	/* The second version's answers, one for each frame; the first one marks the frames. */
	int __user *errors;
	xen_pfn_t __user *marks;
};

struct work {
	xen_pfn_t frames[BATCH];
	int errors[BATCH];
};

static int batch_answer(const struct batch *batch, const struct work *work,
			unsigned int done, unsigned int number)
{
	unsigned int index;

	if (batch->errors)
		return copy_to_user(batch->errors + done, work->errors, array_size(number, sizeof(int))) ?
			-EFAULT : 0;
	for (index = 0; index < number; index++) {
		xen_pfn_t mark = work->errors[index] == -ENOENT ?
			PRIVCMD_MMAPBATCH_PAGED_ERROR : PRIVCMD_MMAPBATCH_MFN_ERROR;

		if (work->errors[index] && put_user(work->frames[index] | mark, batch->marks + done + index))
			return -EFAULT;
	}
	return 0;
}

static long map_batch(struct file *file, const struct batch *batch, u32 command)
{
	struct work *work;
	unsigned int done, number, index;
	bool paged = false;
	long error;

	error = may_map(file, command, batch->domain);
	if (error)
		return error;
	if (!batch->number || batch->number > INT_MAX)
		return -EINVAL;
	work = kmalloc(sizeof(*work), GFP_KERNEL_ACCOUNT);
	if (!work)
		return -ENOMEM;
	for (done = 0; done < batch->number; done += number) {
		unsigned long address = batch->address + ((unsigned long)done << PAGE_SHIFT);
		struct vm_area_struct *vma;

		number = min_t(unsigned int, batch->number - done, BATCH);
		error = -EFAULT;
		if (copy_from_user(work->frames, batch->frames + done, array_size(number, sizeof(xen_pfn_t))))
			break;
		error = -EINTR;
		if (fatal_signal_pending(current) || mmap_write_lock_killable(current->mm))
			break;
		/* All of what is still to come: nothing is mapped where not everything fits. */
		vma = room(address, batch->number - done);
		error = vma ? map_some(vma, address, work->frames, number, work->errors, batch->domain) : -EINVAL;
		mmap_write_unlock(current->mm);
		if (!error)
			error = batch_answer(batch, work, done, number);
		if (error)
			break;
		for (index = 0; index < number; index++)
			paged |= work->errors[index] == -ENOENT;
		cond_resched();
	}
	kfree(work);
	return error ?: paged ? -ENOENT : 0;
}

long privcmd_map_batch(struct file *file, void __user *argument)
{
	struct privcmd_mmapbatch request;
	struct batch batch;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	batch = (struct batch) {
		.number = request.num,
		.domain = request.dom,
		.address = request.addr,
		.frames = request.arr,
		.marks = request.arr,
	};
	return map_batch(file, &batch, IOCTL_PRIVCMD_MMAPBATCH);
}

long privcmd_map_batch_v2(struct file *file, void __user *argument)
{
	struct privcmd_mmapbatch_v2 request;
	struct batch batch;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	batch = (struct batch) {
		.number = request.num,
		.domain = request.dom,
		.address = request.addr,
		.frames = request.arr,
		.errors = request.err,
	};
	/* Without a place for the answers nobody would learn of a failure. */
	if (!batch.errors)
		return -EFAULT;
	return map_batch(file, &batch, IOCTL_PRIVCMD_MMAPBATCH_V2);
}

static int map_range(const struct privcmd_mmap_entry *entry, domid_t domain)
{
	struct vm_area_struct *vma;
	int error = -EINVAL;

	if (!entry->npages || entry->npages > INT_MAX)
		return error;
	if (mmap_write_lock_killable(current->mm))
		return -EINTR;
	vma = room(entry->va, entry->npages);
	if (vma)
		error = room_is_empty(vma, entry->va, entry->npages);
	if (!error)
		error = xen_remap_domain_gfn_range(vma, entry->va, entry->mfn, entry->npages,
						   vma->vm_page_prot, domain, NULL);
	mmap_write_unlock(current->mm);
	return error < 0 ? error : 0;
}

/* The oldest way, for a PV domain only: ranges of frames. */
long privcmd_map(struct file *file, void __user *argument)
{
	struct privcmd_mmap request;
	struct privcmd_mmap_entry entry;
	long error;
	int index;

	if (xen_feature(XENFEAT_auto_translated_physmap))
		return -ENOSYS;
	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	error = may_map(file, IOCTL_PRIVCMD_MMAP, request.dom);
	if (error)
		return error;
	if (request.num <= 0)
		return -EINVAL;
	for (index = 0; index < request.num; index++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (copy_from_user(&entry, request.entry + index, sizeof(entry)))
			return -EFAULT;
		error = map_range(&entry, request.dom);
		if (error)
			return error;
		cond_resched();
	}
	return 0;
}

/* How many frames there are of a resource. */
static long ask_size(struct xen_mem_acquire_resource *acquire, void __user *argument,
			  struct privcmd_mmap_resource *request)
{
	int error = HYPERVISOR_memory_op(XENMEM_acquire_resource, acquire);

	if (error)
		return error;
	request->num = acquire->nr_frames;
	return copy_to_user(argument, request, sizeof(*request)) ? -EFAULT : 0;
}

/* Xen has put the resource behind the pages; shows them to the process. */
static int show_pages(struct vm_area_struct *vma, unsigned long address, struct page **pages,
		      unsigned int number)
{
	unsigned int index;

	for (index = 0; index < number; index++, address += PAGE_SIZE) {
		if (vmf_insert_pfn(vma, address, page_to_pfn(pages[index])) != VM_FAULT_NOPAGE)
			return -ENOMEM;
	}
	return 0;
}

/* Xen has named the frames of the resource; maps them. */
static int show_frames(struct vm_area_struct *vma, unsigned long address, xen_pfn_t *frames,
		       unsigned int number, domid_t domain)
{
	int *errors = kvcalloc(number, sizeof(*errors), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	unsigned int index;
	int error;

	if (!errors)
		return -ENOMEM;
	error = xen_remap_domain_mfn_array(vma, address, frames, number, errors, vma->vm_page_prot, domain);
	for (index = 0; index < number && error >= 0; index++)
		error = errors[index];
	kvfree(errors);
	return error < 0 ? error : 0;
}

static int map_resource(struct vm_area_struct *vma, unsigned long address,
			struct xen_mem_acquire_resource *acquire)
{
	unsigned int number = acquire->nr_frames, index;
	xen_pfn_t *frames;
	struct page **pages;
	int error;

	error = room_is_empty(vma, address, number);
	if (error)
		return error;
	pages = room_pages(vma, address);
	if (IS_ERR(pages))
		return PTR_ERR(pages);
	/* However many are asked for, that they do not fit is an answer and no fault of the kernel's. */
	frames = kvcalloc(number, sizeof(*frames), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!frames)
		return -ENOMEM;
	for (index = 0; pages && index < number; index++)
		frames[index] = page_to_pfn(pages[index]);
	set_xen_guest_handle(acquire->frame_list, frames);
	error = HYPERVISOR_memory_op(XENMEM_acquire_resource, acquire);
	if (!error && pages)
		error = show_pages(vma, address, pages, number);
	else if (!error)
		error = show_frames(vma, address, frames, number,
				    acquire->flags & XENMEM_rsrc_acq_caller_owned ?
				    DOMID_SELF : acquire->domid);
	kvfree(frames);
	return error;
}

long privcmd_map_resource(struct file *file, void __user *argument)
{
	struct privcmd_mmap_resource request;
	struct xen_mem_acquire_resource acquire = {};
	struct vm_area_struct *vma;
	long error;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	error = may_map(file, IOCTL_PRIVCMD_MMAP_RESOURCE, request.dom);
	if (error)
		return error;
	/* Both, or neither, which asks for the size. */
	if (!request.addr != !request.num || request.num > INT_MAX || request.type > U16_MAX)
		return -EINVAL;
	acquire.domid = request.dom;
	acquire.type = request.type;
	acquire.id = request.id;
	acquire.frame = request.idx;
	acquire.nr_frames = request.num;
	if (!request.num)
		return ask_size(&acquire, argument, &request);

	if (mmap_write_lock_killable(current->mm))
		return -EINTR;
	vma = room(request.addr, request.num);
	error = vma ? map_resource(vma, request.addr, &acquire) : -EINVAL;
	mmap_write_unlock(current->mm);
	return error;
}
