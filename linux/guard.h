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

/* Levels, as in the object: nothing is locked, integrity, confidentiality. */
#define GUARD_NONE		0
#define GUARD_INTEGRITY		1
#define GUARD_CONFIDENTIALITY	2

/*
 * The object. What answers with a u32 says 0 for "admitted", or the number of
 * the reason and 1. Texts do not end in a zero byte; their length comes beside.
 */
u32 lockdown_rs_map(u8 level, u16 own, u16 domain);
u32 lockdown_rs_raw(u8 level, u8 strict);
u32 lockdown_rs_dm_op(u8 level, u16 own, u16 domain, const u8 *operation, size_t size,
		      const char **name);
u32 lockdown_rs_reasons(void);
const char *lockdown_rs_reason(u32 reason, size_t *length);
const char *lockdown_rs_reason_text(u32 reason, size_t *length);

/* guard.c: what is locked, what was refused, and who may know. */
int guard_init(void);
void guard_exit(void);
u8 guard_level(void);
u8 guard_ask_level(void);
u16 guard_own(void);
u32 guard_version(void);
bool guard_strict(void);
int guard_answer(u32 answer, const char *operation);

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
