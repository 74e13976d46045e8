/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gate: carries what Xen's hypercalls ask to core and its answer back; counts and logs refusals.
 *
 * Nothing is decided here. Which operation is refused to whom stands in the project's policy, from which the object's
 * table is generated. What is known here and nowhere else is who is privileged, and what a node of hypfs stands for.
 */
#include <xen/bitops.h>
#include <xen/errno.h>
#include <xen/hypfs.h>
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/lockdown-gate.h>
#include <xen/mm.h>
#include <xen/nospec.h>
#include <xen/sched.h>
#include <xen/smp.h>
#include <xen/string.h>
#include <asm/domain.h>
#include <public/domctl.h>
#include <public/sysctl.h>
#include <public/xen.h>

unsigned long lockdown_refusals[LOCKDOWN_REASONS];

/*
 * What the object answered at boot about each domctl, so that the toolstack's everyday operations need not ask again: the
 * level does not change any more. Where values in the structure count, the object says which tests of them are enough;
 * whatever does not pass these, and whatever is not known to be free, is asked every time.
 */
#define ASK            0
#define FREE           1  /* whatever the target */
#define FREE_ON_OTHERS 2  /* for a target that is not privileged */
struct known {
    const struct lockdown_quick *tests; /* two that have to hold, too; NULL for none */
    unsigned long answer;
};
static struct known __ro_after_init domctls[128];
static struct lockdown_quick __ro_after_init tests[8][2];

/* What was logged for nobody's domain: keys that somebody pressed on the console. */
static unsigned long console_logged;

/* The CPU whose crash runs key handlers, and 0 if there is none: CPU number + 1. */
static unsigned int crashing;

static bool is_protected(const struct domain *d)
{
    return is_control_domain(d) || is_hardware_domain(d);
}

/* Neither Xen's own nor protected, and not the caller. */
static bool is_other(const struct domain *target)
{
    return !is_system_domain(target) && !is_protected(target) && target != current->domain;
}

static uint8_t relation_to(const struct domain *target)
{
    if ( !target )
        return LOCKDOWN_TARGET_NONE;
    if ( is_system_domain(target) )
        return LOCKDOWN_TARGET_SPECIAL;
    /* What a guest does to itself is between Xen and the guest. */
    if ( !is_protected(target) )
    {
        if ( target == current->domain )
            return LOCKDOWN_TARGET_NONE;

        return domain_vcpu(target, 0) ? LOCKDOWN_TARGET_OTHER : LOCKDOWN_TARGET_BARE;
    }

    return target == current->domain ? LOCKDOWN_TARGET_OWN : LOCKDOWN_TARGET_PRIVILEGED;
}

/*
 * Counts a refusal; says whether it is to be logged: once for each reason and caller, and never faster than printk's
 * own limit. What the limit swallows is logged the next time.
 */
static bool count(uint32_t reason, unsigned long *logged)
{
    /* The object has no more reasons than this: lockdown_gate_init() stops the boot otherwise. */
    if ( reason >= LOCKDOWN_REASONS )
        reason = LOCKDOWN_REASONS - 1;

    __atomic_fetch_add(&lockdown_refusals[reason], 1, __ATOMIC_RELAXED);

    return !test_bit(reason, logged) && printk_ratelimit() && !test_and_set_bit(reason, logged);
}

static void log_operation(uint32_t reason, const char *who, unsigned int hypercall, unsigned int operation,
                          unsigned int selector)
{
    const char *name = lockdown_rs_operation(hypercall, operation, selector);

    if ( name )
        printk(XENLOG_WARNING "lockdown: refused %s to %s: %s: %s\n", name, who, lockdown_rs_reason(reason),
               lockdown_rs_reason_text(reason));
    else
        printk(XENLOG_WARNING "lockdown: refused hypercall %u operation %u (%u) to %s: %s: %s\n", hypercall,
               operation, selector, who, lockdown_rs_reason(reason), lockdown_rs_reason_text(reason));
}

/* "domain 0": what messages call a caller. */
static const char *caller(char *text, size_t size, const struct domain *d)
{
    snprintf(text, size, "domain %u", d->domain_id);

    return text;
}

static int ask(unsigned int hypercall, unsigned int operation, unsigned int selector, uint8_t relation,
               const void *arg, size_t size)
{
    struct domain *d = current->domain;
    uint32_t answer = lockdown_rs_gate(lockdown_level(), hypercall, operation, selector, relation, arg,
                                       arg ? size : 0);

    if ( likely(!answer) )
        return 0;

    if ( count(answer - 1, &d->lockdown_logged) )
    {
        char text[16];

        log_operation(answer - 1, caller(text, sizeof(text), d), hypercall, operation, selector);
    }

    return -EPERM;
}

int lockdown_gate_locked(unsigned int hypercall, unsigned int operation, unsigned int selector,
                         const struct domain *target, const void *arg, size_t size)
{
    return ask(hypercall, operation, selector, relation_to(target), arg, size);
}

/* What a domain may lack here are emulated devices: lines of a PIC lead nowhere in one that was made without it. */
int lockdown_dm_op_locked(unsigned int operation, const struct domain *target)
{
    uint8_t relation = relation_to(target);

    if ( relation == LOCKDOWN_TARGET_OTHER && !has_vpic(target) )
        relation = LOCKDOWN_TARGET_BARE;

    return ask(__HYPERVISOR_dm_op, operation, 0, relation, NULL, 0);
}

/* The eight bytes lie within the structure: see learn(). */
static bool passes(const struct lockdown_quick *test, const struct xen_domctl *op)
{
    uint64_t value;

    memcpy(&value, (const char *)op + test->offset, sizeof(value));

    return (value & test->mask) - test->low <= test->span;
}

long lockdown_domctl_locked(const struct xen_domctl *op, const struct domain *target)
{
    if ( likely(op->cmd < ARRAY_SIZE(domctls)) )
    {
        const struct known *known = &domctls[array_index_nospec(op->cmd, ARRAY_SIZE(domctls))];

        if ( (known->answer == FREE || (known->answer == FREE_ON_OTHERS && target && is_other(target))) &&
             (likely(!known->tests) || (passes(&known->tests[0], op) && passes(&known->tests[1], op))) )
            return 0;
    }

    return lockdown_gate_locked(__HYPERVISOR_domctl, op->cmd, 0, target, op, sizeof(*op));
}

/*
 * Debug keys. The one on the serial console comes in an interrupt, with none of the locks held that printk needs:
 * handlers of Xen print from there too. It is asked as if a domain had sent it, because it does the same.
 */
bool lockdown_key_locked(unsigned char key)
{
    uint32_t answer;

    if ( read_atomic(&crashing) == smp_processor_id() + 1 )
        return false;

    answer = lockdown_rs_gate(lockdown_level(), __HYPERVISOR_sysctl, XEN_SYSCTL_debug_keys, 0, LOCKDOWN_TARGET_NONE,
                              NULL, 0);
    if ( !answer )
        return false;

    if ( count(answer - 1, &console_logged) )
        log_operation(answer - 1, "the console", __HYPERVISOR_sysctl, XEN_SYSCTL_debug_keys, 0);

    return true;
}

void lockdown_crash_keys(bool running)
{
    write_atomic(&crashing, running ? smp_processor_id() + 1 : 0);
}

#ifdef CONFIG_HYPFS
/* The option that a node stands for, or NULL: options are what stands right below /params. */
static const char *option_of(const struct hypfs_entry *entry)
{
    const struct hypfs_entry *folder = entry->parent;

    if ( entry->type == XEN_HYPFS_TYPE_DIR || !folder || folder->parent != &hypfs_root.e ||
         strcmp(folder->name, "params") )
        return NULL;

    return entry->name;
}

static int refuse_write(uint32_t reason, const char *name, const char *value)
{
    struct domain *d = current->domain;

    if ( count(reason, &d->lockdown_logged) )
    {
        char text[16];

        printk(XENLOG_WARNING "lockdown: refused writing hypfs \"%s%s%s\" to %s: %s: %s\n", name, value ? "=" : "",
               value ?: "", caller(text, sizeof(text), d), lockdown_rs_reason(reason),
               lockdown_rs_reason_text(reason));
    }

    return -EPERM;
}

int lockdown_hypfs_write_locked(const struct hypfs_entry *entry)
{
    const char *option = option_of(entry);
    uint32_t answer;

    /* What is no option has no rule of its own: the operation's decides. */
    if ( !option )
        return lockdown_gate_locked(__HYPERVISOR_hypfs_op, XEN_HYPFS_OP_write_contents, 0, NULL, NULL, 0);

    /* The value is asked for by the function that copies it in; a node with another one would not be asked. */
    if ( entry->funcs->write == hypfs_write_leaf || entry->funcs->write == hypfs_write_bool ||
         entry->funcs->write == hypfs_write_custom || entry->funcs->write == hypfs_write_deny )
        return 0;

    answer = lockdown_rs_parameter(lockdown_level(), "", "");

    return answer ? refuse_write(answer - 1, option, NULL) : -EPERM;
}

/* A number as the option would have it on the command line. false: not a size that options have. */
static bool number(char *text, size_t length, const struct hypfs_entry *entry, const void *value, size_t size)
{
    bool negative = false;
    uint64_t n;

    switch ( size )
    {
    case 1: n = *(const uint8_t *)value; break;
    case 2: n = *(const uint16_t *)value; break;
    case 4: n = *(const uint32_t *)value; break;
    case 8: n = *(const uint64_t *)value; break;
    default: return false;
    }

    if ( entry->type == XEN_HYPFS_TYPE_INT && size && (n >> (size * 8 - 1)) )
    {
        negative = true;
        n = size == 8 ? -n : (1UL << (size * 8)) - n;
    }

    snprintf(text, length, "%s%"PRIu64, negative ? "-" : "", n);

    return true;
}

int lockdown_hypfs_value_locked(const struct hypfs_entry *entry, const void *value, size_t size)
{
    const char *option = option_of(entry), *shown = value;
    char text[24];
    uint32_t answer;

    /* lockdown_hypfs_write_locked() has admitted it by the operation's own rule. */
    if ( !option )
        return 0;

    switch ( entry->type )
    {
    case XEN_HYPFS_TYPE_STRING:
        /* Xen answers this itself, with another error; nothing else may be taken for text. */
        if ( !size || memchr(value, 0, size) != value + size - 1 )
            return -EINVAL;
        break;

    case XEN_HYPFS_TYPE_BOOL:
    case XEN_HYPFS_TYPE_UINT:
    case XEN_HYPFS_TYPE_INT:
        if ( !number(text, sizeof(text), entry, value, size) )
            return -EDOM;
        shown = text;
        break;

    default:
        return -EPERM;
    }

    answer = lockdown_rs_parameter(lockdown_level(), option, shown);

    return answer ? refuse_write(answer - 1, option, shown) : 0;
}
#endif /* CONFIG_HYPFS */

static bool __init refuses(unsigned int operation, uint8_t relation, const struct xen_domctl *arg)
{
    return lockdown_rs_gate(lockdown_level(), __HYPERVISOR_domctl, operation, 0, relation, arg, arg ? sizeof(*arg) : 0);
}

/* Finds out what need not be asked again about a domctl. Returns how many of tests[] are in use then. */
static unsigned int __init learn(unsigned int operation, unsigned int used)
{
    struct known *known = &domctls[operation];
    struct xen_domctl example = {};
    /* A test without bits holds. */
    struct lockdown_quick quick[ARRAY_SIZE(tests[0]) + 1] = {};
    const struct xen_domctl *arg = NULL;
    unsigned int n;
    bool others, any;

    /* A structure that passes all tests, so that only the target is left to decide. */
    for ( n = 0; n < ARRAY_SIZE(quick) && lockdown_rs_quick(__HYPERVISOR_domctl, operation, 0, n, &quick[n]); n++ )
    {
        uint64_t value;

        if ( quick[n].offset > sizeof(example) - sizeof(value) )
            panic("lockdown: the object tests what lies behind a domctl's structure\n");
        memcpy(&value, (char *)&example + quick[n].offset, sizeof(value));
        value = (value & ~quick[n].mask) | quick[n].low;
        memcpy((char *)&example + quick[n].offset, &value, sizeof(value));
        arg = &example;
    }
    if ( n > ARRAY_SIZE(tests[0]) || (n && used == ARRAY_SIZE(tests)) )
        return used;

    others = refuses(operation, LOCKDOWN_TARGET_OTHER, arg) || refuses(operation, LOCKDOWN_TARGET_BARE, arg) ||
             refuses(operation, LOCKDOWN_TARGET_NONE, arg);
    any = others || refuses(operation, LOCKDOWN_TARGET_OWN, arg) ||
          refuses(operation, LOCKDOWN_TARGET_PRIVILEGED, arg) || refuses(operation, LOCKDOWN_TARGET_SPECIAL, arg);

    known->answer = others ? ASK : any ? FREE_ON_OTHERS : FREE;
    if ( known->answer == ASK || !n )
        return used;
    memcpy(tests[used], quick, sizeof(tests[used]));
    known->tests = tests[used];

    return used + 1;
}

/* The object and this file were made for each other, or there is no boot. */
static int __init cf_check lockdown_gate_init(void)
{
    unsigned int operation, used = 0;

    for ( operation = 0; operation < ARRAY_SIZE(domctls); operation++ )
        used = learn(operation, used);

    if ( lockdown_rs_reason(LOCKDOWN_REASONS) )
        panic("lockdown: the object knows more than %u reasons; LOCKDOWN_REASONS in lockdown-gate.h must grow\n",
              LOCKDOWN_REASONS);

    return 0;
}
__initcall(lockdown_gate_init);
