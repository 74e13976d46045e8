// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls of processes: raw ones, and those of a device model.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/xen/hypercall.h>
#include <asm/xen/hypervisor.h>
#include <xen/interface/hvm/dm_op.h>
#include <xen/interface/xen.h>
#include <xen/xen-ops.h>
#include <uapi/xen/privcmd.h>

#include "guard.h"

/* Xen takes fewer; the names are from what the stock driver allows at most. */
#define DM_OP_BUFFERS 16
#define DM_OP_BUFFER_SIZE 4096
/* The structure itself is decided on, so Xen gets the copy that was. */
#define DM_OP_SIZE 128

/* One call: what came, what is pinned, what Xen gets. */
struct dm_op {
	struct privcmd_dm_op_buf given[DM_OP_BUFFERS];
	struct xen_dm_op_buf handed[DM_OP_BUFFERS];
	struct page *pinned[DM_OP_BUFFERS * (1 + DM_OP_BUFFER_SIZE / PAGE_SIZE)];
	unsigned int pins;
	u8 operation[DM_OP_SIZE] __aligned(8);
};

/* Xen finds a buffer only while its pages are there. */
static int pin(struct dm_op *work, const struct privcmd_dm_op_buf *buffer)
{
	unsigned long start = (unsigned long)buffer->uptr & PAGE_MASK;
	unsigned int pages = DIV_ROUND_UP(offset_in_page(buffer->uptr) + buffer->size, PAGE_SIZE);
	int done = 0;

	while (pages) {
		done = pin_user_pages_fast(start, pages, FOLL_WRITE, work->pinned + work->pins);
		if (done <= 0)
			return done ?: -EFAULT;
		work->pins += done;
		pages -= done;
		start += (unsigned long)done << PAGE_SHIFT;
	}
	return 0;
}

static int dm_op_prepare(struct dm_op *work, unsigned int number)
{
	unsigned int index;
	int error;

	for (index = 0; index < number; index++) {
		const struct privcmd_dm_op_buf *buffer = &work->given[index];

		if (buffer->size > (index ? DM_OP_BUFFER_SIZE : DM_OP_SIZE))
			return -E2BIG;
		if (!access_ok(buffer->uptr, buffer->size))
			return -EFAULT;
		if (index) {
			error = pin(work, buffer);
			if (error)
				return error;
		}
		set_xen_guest_handle(work->handed[index].h,
				     index ? (__force void *)buffer->uptr : work->operation);
		work->handed[index].size = buffer->size;
	}
	if (copy_from_user(work->operation, work->given[0].uptr, work->given[0].size))
		return -EFAULT;
	return 0;
}

static long dm_op(struct dm_op *work, const struct privcmd_dm_op *request)
{
	const char *name;
	u32 answer;
	long result;

	if (copy_from_user(work->given, request->ubufs, array_size(request->num, sizeof(work->given[0]))))
		return -EFAULT;
	result = dm_op_prepare(work, request->num);
	if (result)
		return result;
	answer = lockdown_rs_dm_op(guard_ask_level(), guard_own(), request->dom, work->operation,
				   work->given[0].size, &name);
	result = guard_answer(answer, name);
	if (result)
		return result;
	xen_preemptible_hcall_begin();
	result = HYPERVISOR_dm_op(request->dom, request->num, work->handed);
	xen_preemptible_hcall_end();
	/* Xen answers in the structure. */
	if (!result && copy_to_user(work->given[0].uptr, work->operation, work->given[0].size))
		return -EFAULT;
	return result;
}

long privcmd_dm_op(struct file *file, void __user *argument)
{
	struct privcmd_dm_op request;
	struct dm_op *work;
	long result;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	if (!privcmd_may(file, request.dom))
		return -EPERM;
	if (!request.num)
		return 0;
	if (request.num > DM_OP_BUFFERS)
		return -E2BIG;
	work = kzalloc(sizeof(*work), GFP_KERNEL_ACCOUNT);
	if (!work)
		return -ENOMEM;
	result = dm_op(work, &request);
	unpin_user_pages_dirty_lock(work->pinned, work->pins, true);
	kfree(work);
	return result;
}

long privcmd_hypercall(struct file *file, void __user *argument)
{
	struct privcmd_hypercall call;
	long result;

	/* Nobody can tell which domain a raw hypercall is about before it is taken apart. */
	if (!privcmd_may(file, DOMID_INVALID))
		return -EPERM;
	if (copy_from_user(&call, argument, sizeof(call)))
		return -EFAULT;
	result = guard_answer(lockdown_rs_raw(guard_ask_level(), guard_strict()), "privcmd.hypercall");
	if (result)
		return result;
	xen_preemptible_hcall_begin();
	result = privcmd_call(call.op, call.arg[0], call.arg[1], call.arg[2], call.arg[3], call.arg[4]);
	xen_preemptible_hcall_end();
	return result;
}
