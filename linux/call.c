// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls of processes: raw ones, and those of a device model.
 */
#define pr_fmt(fmt) "lockdown-guard: " fmt

#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/xen/hypercall.h>
#include <asm/xen/hypervisor.h>
#include <xen/interface/hvm/dm_op.h>
#include <xen/interface/xen.h>
#include <xen/xen-ops.h>
#include <uapi/xen/privcmd.h>

#include "guard.h"

/* More and larger ones than any device model hands over; the stock driver has the same limits. */
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
		if (index && buffer->size) {
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
	struct guard_record record = { .command = IOCTL_PRIVCMD_DM_OP, .domain = request->dom };
	struct guard_caller caller = guard_caller();
	const char *name;
	u32 answer;
	long result;

	if (copy_from_user(work->given, request->ubufs, array_size(request->num, sizeof(work->given[0]))))
		return -EFAULT;
	result = dm_op_prepare(work, request->num);
	if (result)
		return result;
	answer = lockdown_rs_dm_op(&caller, record.command, request->dom, work->operation,
				   work->given[0].size, &name);
	record.seen[0] = (struct guard_piece) {
		.user = (unsigned long)work->given[0].uptr,
		.length = work->given[0].size,
	};
	record.space = work->operation;
	result = guard_answer(answer, name, &record);
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

/* How much space a call gets at first, on the stack, and the most that one gets. */
#define SPACE 256
#define SPACE_MOST 65536

/*
 * Structures are small, of whole words mostly, and it is the object that knows
 * what room there is. So they are copied in line: copy_from_user() looks again
 * whether the object in the kernel is one, which takes longer than the copy.
 */
#define WORDS_MOST 32

static __always_inline bool is_words(const void *memory, size_t length)
{
	return length <= WORDS_MOST * sizeof(u64) && !(((unsigned long)memory | length) % sizeof(u64));
}

static __always_inline bool fetch_words(u64 *into, const u64 __user *from, size_t length)
{
	size_t index;

	if (!user_read_access_begin(from, length))
		return false;
#pragma GCC unroll 4
	for (index = 0; index < length / sizeof(*into); index++)
		unsafe_get_user(into[index], from + index, fault);
	user_read_access_end();
	return true;
fault:
	user_read_access_end();
	/* As copy_from_user() does: nothing older may be taken for what was read. */
	memset(into, 0, length);
	return false;
}

static __always_inline bool store_words(u64 __user *to, const u64 *from, size_t length)
{
	size_t index;

	if (!user_write_access_begin(to, length))
		return false;
#pragma GCC unroll 4
	for (index = 0; index < length / sizeof(*from); index++)
		unsafe_put_user(from[index], to + index, fault);
	user_write_access_end();
	return true;
fault:
	user_write_access_end();
	return false;
}

bool guard_fetch(void *into, u64 from, size_t length)
{
	if (is_words(into, length))
		return fetch_words(into, u64_to_user_ptr(from), length);
	return !copy_from_user(into, u64_to_user_ptr(from), length);
}

/* Where it cannot be written, the process took its own memory away after it was read. */
void guard_store(u64 to, const void *from, size_t length)
{
	bool stored;

	if (is_words(from, length))
		stored = store_words(u64_to_user_ptr(to), from, length);
	else
		stored = !copy_to_user(u64_to_user_ptr(to), from, length);
	if (!stored)
		pr_debug("what Xen answered found no place\n");
}

u64 guard_issue(const struct guard_registers *registers)
{
	const u64 *argument = registers->arguments;
	u64 result;

	xen_preemptible_hcall_begin();
	result = privcmd_call(registers->hypercall, argument[0], argument[1], argument[2], argument[3],
			      argument[4]);
	xen_preemptible_hcall_end();
	return result;
}

/* Tells of a call that is refused; what nothing is locked against is to be made as it came. */
static int call_refused(const struct guard_registers *registers, const struct guard_outcome *outcome,
			const u8 *space)
{
	struct guard_record record = { .registers = registers, .space = space };

	memcpy(record.seen, outcome->seen, sizeof(record.seen));
	return guard_answer(outcome->reason + 1, outcome->operation, &record);
}

/* Walks over one call and makes it, if there is enough space. Fails where it is refused. */
static int call_within(const struct guard_caller *caller, const struct guard_registers *registers,
		       u8 *space, size_t size, struct guard_outcome *outcome)
{
	lockdown_rs_call(caller, registers, space, size, outcome);
	return outcome->end == GUARD_REFUSED ? call_refused(registers, outcome, space) : 0;
}

/* The same with as much space as it takes: most calls hand over one small structure. */
static int call_once(const struct guard_caller *caller, const struct guard_registers *registers,
		     struct guard_outcome *outcome)
{
	/* What is not copied into it is not read. */
	u8 small[SPACE] __aligned(8) __uninitialized;
	size_t size = sizeof(small);
	int error = call_within(caller, registers, small, size, outcome);

	/* It may want more again, but not often: every time it gets further. */
	while (outcome->end == GUARD_SPACE && outcome->value > size && outcome->value <= SPACE_MOST) {
		u8 *space;

		size = outcome->value;
		space = kvmalloc(size, GFP_KERNEL_ACCOUNT);
		if (!space)
			return -ENOMEM;
		error = call_within(caller, registers, space, size, outcome);
		kvfree(space);
	}
	return error;
}

/* What a call that was not made answers; one that nothing is locked against is made as it came. */
static long call_not_made(const struct guard_outcome *outcome, const struct guard_registers *registers)
{
	if (outcome->end != GUARD_REFUSED && guard_level())
		return outcome->end == GUARD_FAULT ? -EFAULT : -E2BIG;
	return guard_issue(registers);
}

/* An entry of a list of calls, as Xen's multicall has it. */
struct entry {
	u64 hypercall;
	u64 result;
	u64 arguments[6];
};

/* A list in a list is refused as what it is. */
static long call_listed(const struct guard_caller *caller, const struct entry *entry)
{
	struct guard_registers registers = { .hypercall = entry->hypercall };
	struct guard_outcome outcome __uninitialized;
	int error;

	memcpy(registers.arguments, entry->arguments, sizeof(registers.arguments));
	error = call_once(caller, &registers, &outcome);
	if (error)
		return error;
	if (outcome.end == GUARD_DONE)
		return outcome.value;
	if (outcome.end == GUARD_CALLS) {
		outcome.end = GUARD_REFUSED;
		error = call_refused(&registers, &outcome, NULL);
		if (error)
			return error;
	}
	return call_not_made(&outcome, &registers);
}

static long call_list(const struct guard_caller *caller, const struct guard_outcome *list)
{
	struct entry __user *entries = u64_to_user_ptr(list->value);
	struct entry entry;
	u32 index;

	for (index = 0; index < list->count; index++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (copy_from_user(&entry, entries + index, sizeof(entry)))
			return -EFAULT;
		entry.result = call_listed(caller, &entry);
		if (put_user(entry.result, &entries[index].result))
			return -EFAULT;
		cond_resched();
	}
	return 0;
}

long privcmd_hypercall(struct file *file, void __user *argument)
{
	struct guard_caller caller = guard_caller();
	/* The object fills in all of the one, and the process of the other. */
	struct guard_outcome outcome __uninitialized;
	struct guard_registers registers __uninitialized;
	long error;

	/* Which domain it is about can be hidden in it; who was restricted to one has dm_op. */
	if (!privcmd_may(file, DOMID_INVALID))
		return -EPERM;
	/* Only a guard that is strict has anything against the request as such. */
	if (caller.strict) {
		error = guard_ioctl(&caller, IOCTL_PRIVCMD_HYPERCALL, caller.own);
		if (error)
			return error;
	}
	BUILD_BUG_ON(sizeof(registers) != sizeof(struct privcmd_hypercall));
	if (!fetch_words((u64 *)&registers, argument, sizeof(registers)))
		return -EFAULT;
	error = call_once(&caller, &registers, &outcome);
	if (error)
		return error;
	switch (outcome.end) {
	case GUARD_DONE:
		return outcome.value;
	case GUARD_CALLS:
		return call_list(&caller, &outcome);
	default:
		return call_not_made(&outcome, &registers);
	}
}
