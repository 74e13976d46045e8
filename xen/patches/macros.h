/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Not compiled: read by spatch, which would otherwise take these for something else and skip the functions that they
 * stand in. What they stand for does not matter to it.
 */
#define cf_check
#define XEN_GUEST_HANDLE(type) void *
#define XEN_GUEST_HANDLE_PARAM(type) void *
#define COMPAT_HANDLE_PARAM(type) void *
