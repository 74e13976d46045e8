/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs from kernel to kernel, and what a kernel keeps to itself. It was
 * built and run with Linux 6.12 and 7.3.
 */
#ifndef XEN_PRIVCMD_COMPAT_H
#define XEN_PRIVCMD_COMPAT_H

#include <linux/build_bug.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/stddef.h>
#include <linux/version.h>

/* What is built in needs none of this, and a kernel without modules has none of it. */
#if defined(MODULE) && defined(CONFIG_MODULE_UNLOAD)

/*
 * That a module uses another, as the kernel keeps it: struct module_use. It is
 * declared for everybody in 6.12 and for kernel/module alone in 7.3, so the
 * guard has a copy. Kbuild looks where the declaration is: the copy is held
 * against it where there is one, as in 6.12's headers and in a kernel's own tree.
 */
struct guard_use {
	struct list_head source_list;
	struct list_head target_list;
	struct module *source, *target;
};

#ifdef GUARD_MODULE_USE_PRIVATE
/* From the kernel's include/ on. */
#include <../kernel/module/internal.h>
#endif

#if defined(GUARD_MODULE_USE_PRIVATE) || defined(GUARD_MODULE_USE_PUBLIC)
static_assert(sizeof(struct guard_use) == sizeof(struct module_use));
static_assert(offsetof(struct guard_use, source_list) == offsetof(struct module_use, source_list));
static_assert(offsetof(struct guard_use, target_list) == offsetof(struct module_use, target_list));
static_assert(offsetof(struct guard_use, source) == offsetof(struct module_use, source));
static_assert(offsetof(struct guard_use, target) == offsetof(struct module_use, target));
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(7, 4, 0)
/* Headers alone do not tell. Somebody has to have looked at the kernel's source. */
#error "unknown kernel: if its struct module_use (kernel/module/internal.h) is struct guard_use, raise this number"
#endif

#endif /* MODULE && CONFIG_MODULE_UNLOAD */

#endif /* XEN_PRIVCMD_COMPAT_H */
