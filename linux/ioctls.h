/* SPDX-License-Identifier: GPL-2.0-only */
/* Generated from policy/ by `cargo xtask generate`. Do not edit. */
#ifndef XEN_PRIVCMD_IOCTLS_H
#define XEN_PRIVCMD_IOCTLS_H

#include <linux/build_bug.h>
#include <uapi/xen/privcmd.h>

/* The rules speak of these numbers. A kernel may not know all of the requests. */
#ifdef IOCTL_PRIVCMD_HYPERCALL
static_assert(IOCTL_PRIVCMD_HYPERCALL == 0x305000);
#endif
#ifdef IOCTL_PRIVCMD_MMAP
static_assert(IOCTL_PRIVCMD_MMAP == 0x105002);
#endif
#ifdef IOCTL_PRIVCMD_MMAPBATCH
static_assert(IOCTL_PRIVCMD_MMAPBATCH == 0x185003);
#endif
#ifdef IOCTL_PRIVCMD_MMAPBATCH_V2
static_assert(IOCTL_PRIVCMD_MMAPBATCH_V2 == 0x205004);
#endif
#ifdef IOCTL_PRIVCMD_DM_OP
static_assert(IOCTL_PRIVCMD_DM_OP == 0x105005);
#endif
#ifdef IOCTL_PRIVCMD_RESTRICT
static_assert(IOCTL_PRIVCMD_RESTRICT == 0x25006);
#endif
#ifdef IOCTL_PRIVCMD_MMAP_RESOURCE
static_assert(IOCTL_PRIVCMD_MMAP_RESOURCE == 0x205007);
#endif
#ifdef IOCTL_PRIVCMD_IRQFD
static_assert(IOCTL_PRIVCMD_IRQFD == 0x40185008);
#endif
#ifdef IOCTL_PRIVCMD_IOEVENTFD
static_assert(IOCTL_PRIVCMD_IOEVENTFD == 0x40305009);
#endif
#ifdef IOCTL_PRIVCMD_PCIDEV_GET_GSI
static_assert(IOCTL_PRIVCMD_PCIDEV_GET_GSI == 0x8500a);
#endif

#endif /* XEN_PRIVCMD_IOCTLS_H */
