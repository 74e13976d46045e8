/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guard: a privcmd driver whose every decision is made by xen-lockdown's engine.
 *
 * C carries, Rust decides: lockdown_rs_*() are the functions of the object
 * (linux/object), everything else is the shim's own.
 */
#ifndef XEN_PRIVCMD_GUARD_H
#define XEN_PRIVCMD_GUARD_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/types.h>

#include <xen/interface/xen.h>

#include "ioctls.h"

/* Levels, as in the object: nothing is locked, integrity, confidentiality. */
#define GUARD_NONE		0
#define GUARD_INTEGRITY		1
#define GUARD_CONFIDENTIALITY	2

/* Who asks: the level of the lock, this domain's number, Xen's release, the end of userspace. */
struct guard_caller {
	u8 level;
	u8 strict;
	u16 own;
	u32 version;
	u64 user_end;
};

/* A hypercall as it stands in the registers. */
struct guard_registers {
	u64 hypercall;
	u64 arguments[5];
};

/* Bytes of the process, copied into a space. */
struct guard_piece {
	u64 user;
	u32 at;
	u32 length;
};

/* What came of a call. */
enum guard_end {
	GUARD_DONE,	/* it was made: @value is what Xen answered */
	GUARD_REFUSED,	/* by @reason */
	GUARD_FAULT,	/* userspace's memory cannot be read there */
	GUARD_SPACE,	/* @value bytes of space are needed */
	GUARD_CALLS,	/* it is a list of @count calls at @value, to be taken one by one */
};

struct guard_outcome {
	u32 end;
	u32 reason;
	u64 value;
	u32 count;
	/* What it was, as far as it is known: ends in a zero byte. */
	const char *operation;
	/* What was copied until it was refused. */
	struct guard_piece seen[2];
};

/* What is told of a request that is refused, so that it can be judged again elsewhere. */
struct guard_record {
	/* A raw hypercall; otherwise a request of the driver's own, about a domain. */
	const struct guard_registers *registers;
	u32 command;
	domid_t domain;
	/* The process's bytes that were looked at, and where they are. */
	struct guard_piece seen[2];
	const u8 *space;
};

/*
 * The object. What answers with a u32 says 0 for "admitted", or the number of
 * the reason and 1. Texts stay where they are.
 */
u32 lockdown_rs_ioctl(const struct guard_caller *caller, u32 command, u16 domain, const char **name);
u32 lockdown_rs_dm_op(const struct guard_caller *caller, u32 command, u16 domain, const u8 *operation,
		      size_t size, const char **name);
void lockdown_rs_call(const struct guard_caller *caller, const struct guard_registers *registers,
		      u8 *space, size_t size, struct guard_outcome *outcome);
u32 lockdown_rs_reasons(void);
const char *lockdown_rs_reason(u32 reason);
const char *lockdown_rs_reason_text(u32 reason);

/* What the object asks of the shim: userspace's memory, and the call itself. */
bool guard_fetch(void *into, u64 from, size_t length);
void guard_store(u64 to, const void *from, size_t length);
u64 guard_issue(const struct guard_registers *registers);

/* guard.c: what is locked, what was refused, and who may know. */
int guard_init(void);
void guard_exit(void);
u8 guard_level(void);
struct guard_caller guard_caller(void);
int guard_answer(u32 answer, const char *operation, const struct guard_record *record);
int guard_ioctl(const struct guard_caller *caller, u32 command, domid_t domain);

/* permanent.c */
void guard_stay(void);
int guard_watch(void);
void guard_unwatch(void);

/* main.c: the domain that an open file was restricted to by RESTRICT. */
bool privcmd_may(const struct file *file, domid_t domain);

/* map.c */
int privcmd_mmap(struct file *file, struct vm_area_struct *vma);
long privcmd_map(struct file *file, void __user *argument);
long privcmd_map_batch(struct file *file, void __user *argument);
long privcmd_map_batch_v2(struct file *file, void __user *argument);
long privcmd_map_resource(struct file *file, void __user *argument);

/* call.c */
long privcmd_hypercall(struct file *file, void __user *argument);
long privcmd_dm_op(struct file *file, void __user *argument);

/* buffers.c: /dev/xen/hypercall. */
extern const struct file_operations xen_privcmdbuf_fops;

#endif /* XEN_PRIVCMD_GUARD_H */
