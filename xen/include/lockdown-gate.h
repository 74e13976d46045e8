/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gate: what a locked Xen refuses to everybody, asked where Xen's own checks (xsm_*) stand.
 *
 * Xen's functions call these through the semantic patches gate-*.cocci. They carry; core decides.
 */
#ifndef XEN_LOCKDOWN_GATE_H
#define XEN_LOCKDOWN_GATE_H

#include <xen/compiler.h>
#include <xen/types.h>
#include <xen/lockdown.h>

struct domain;
struct hypfs_entry;
struct xen_domctl;

/* How the target of an operation stands to the protected kernels; the numbers are the object's. */
#define LOCKDOWN_TARGET_NONE       0  /* there is none yet, or a domain that is not privileged aims at itself */
#define LOCKDOWN_TARGET_OWN        1  /* a privileged domain that aims at itself */
#define LOCKDOWN_TARGET_OTHER      2  /* another domain, which is not privileged */
#define LOCKDOWN_TARGET_PRIVILEGED 3  /* a privileged domain that is not the caller */
#define LOCKDOWN_TARGET_SPECIAL    4  /* Xen's own: DOMID_IO, DOMID_XEN, DOMID_COW */
#define LOCKDOWN_TARGET_BARE       5  /* another domain, which is not privileged and has no processors yet; for dm_op, no PIC */

/* As many reasons as there are counters, and bits in a domain's record of what was logged for it. */
#define LOCKDOWN_REASONS 64

int lockdown_gate_locked(unsigned int hypercall, unsigned int operation, unsigned int selector,
                         const struct domain *target, const void *arg, size_t size);
long lockdown_domctl_locked(const struct xen_domctl *op, const struct domain *target);
int lockdown_dm_op_locked(unsigned int operation, const struct domain *target);
int lockdown_hypfs_write_locked(const struct hypfs_entry *entry);
int lockdown_hypfs_value_locked(const struct hypfs_entry *entry, const void *value, size_t size);
bool lockdown_key_locked(unsigned char key);
void lockdown_crash_keys(bool running);

/* How often each reason was the answer of the gate. */
extern unsigned long lockdown_refusals[LOCKDOWN_REASONS];

/*
 * Whether an operation may go on: 0, or -EPERM, which is logged and counted. arg is Xen's own copy of the structure,
 * or NULL where there is none yet: what depends on a value is refused then.
 */
static inline int lockdown_gate(unsigned int hypercall, unsigned int operation, unsigned int selector,
                                const struct domain *target, const void *arg, size_t size)
{
    if ( likely(!lockdown_level()) )
        return 0;

    return lockdown_gate_locked(hypercall, operation, selector, target, arg, size);
}

/* The same for a domctl, of which there are so many that it has a way of its own. */
static inline long lockdown_gate_domctl(const struct xen_domctl *op, const struct domain *target)
{
    return likely(!lockdown_level()) ? 0 : lockdown_domctl_locked(op, target);
}

/* The same for what a device model asks of a domain. */
static inline int lockdown_gate_dm_op(unsigned int operation, const struct domain *target)
{
    return likely(!lockdown_level()) ? 0 : lockdown_dm_op_locked(operation, target);
}

/* Whether a node of hypfs may be written at all. */
static inline int lockdown_hypfs_write(const struct hypfs_entry *entry)
{
    return likely(!lockdown_level()) ? 0 : lockdown_hypfs_write_locked(entry);
}

/* Whether this may be written to it; value is Xen's own copy. */
static inline int lockdown_hypfs_value(const struct hypfs_entry *entry, const void *value, size_t size)
{
    return likely(!lockdown_level()) ? 0 : lockdown_hypfs_value_locked(entry, value, size);
}

/* Whether a debug key is refused. */
static inline bool lockdown_key(unsigned char key)
{
    return unlikely(lockdown_level()) && lockdown_key_locked(key);
}

/*
 * Runs the key handlers that belong to a crash: who chose them was judged when he did. Nothing is left of the calls where
 * lockdown is not built in: the shim for paravirtual guests is such a build of the same tree.
 */
#define lockdown_crash_key(call)                                                                                     \
    do {                                                                                                             \
        if ( lockdown_level() )                                                                                      \
            lockdown_crash_keys(true);                                                                               \
        call;                                                                                                        \
        if ( lockdown_level() )                                                                                      \
            lockdown_crash_keys(false);                                                                              \
    } while ( 0 )

/* An operation number that its function takes as a wider type: what does not fit is no operation that exists. */
static inline unsigned int lockdown_number(unsigned long operation)
{
    return operation > 0xffffffffUL ? 0xffffffffU : (unsigned int)operation;
}

/* A structure whose layout is another one for 32-bit callers: they have nothing to show. */
#ifdef CONFIG_COMPAT
#define LOCKDOWN_NATIVE(structure) (current->hcall_compat ? NULL : (structure))
#else
#define LOCKDOWN_NATIVE(structure) (structure)
#endif

#endif /* XEN_LOCKDOWN_GATE_H */
