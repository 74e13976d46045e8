/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lockdown: what a locked Xen refuses. Rust decides (the lockdown_rs_* functions of the object), C carries.
 *
 * Not locked, or built without CONFIG_LOCKDOWN, every hook does what Xen did before.
 */
#ifndef XEN_LOCKDOWN_H
#define XEN_LOCKDOWN_H

#include <xen/string.h>
#include <xen/types.h>

/* Levels. A level only rises. */
#define LOCKDOWN_NONE            0
#define LOCKDOWN_INTEGRITY       1
#define LOCKDOWN_CONFIDENTIALITY 2

/* Where a piece of the command line comes from. */
#define LOCKDOWN_BUILTIN 0
#define LOCKDOWN_SIGNED  1
#define LOCKDOWN_RUNTIME 2

/* What the object answers where it was handed something that cannot be. */
#define LOCKDOWN_IMPOSSIBLE 0xff

/* One refused token. The layout is the object's (xen/object/src/records.rs). */
struct lockdown_record {
    uint16_t at;        /* its text in lockdown_records.text */
    uint8_t reason;
    uint8_t segment;
    uint8_t dom0;       /* meant for dom0's kernel */
    uint8_t cut;        /* only the beginning of the text was kept */
};

struct lockdown_records {
    uint16_t count;     /* of record[] */
    uint16_t used;      /* bytes of text[] */
    uint32_t lost;      /* refused beside them */
    struct lockdown_record record[64];
    char text[4096];
};

/* The object. */
uint8_t lockdown_rs_filter_xen(uint8_t level, uint8_t segment, uint32_t version, char *text, size_t size,
                               struct lockdown_records *records);
uint8_t lockdown_rs_filter_dom0(uint8_t level, uint8_t segment, uint32_t version, char *text, size_t size,
                                struct lockdown_records *records);
uint8_t lockdown_rs_latches(uint8_t level, uint8_t segment, uint32_t version, const char *text, size_t size);
size_t lockdown_rs_split(const char *text, size_t size, size_t *xen_end);
size_t lockdown_rs_dom0_line(uint8_t level, char *line, size_t size);
uint8_t lockdown_rs_record(uint8_t segment, const char *reason, const char *text, size_t size,
                           struct lockdown_records *records);
const char *lockdown_rs_reason(uint32_t reason);
const char *lockdown_rs_reason_text(uint32_t reason);
uint32_t lockdown_rs_reason_index(const char *id);
/* relation: LOCKDOWN_TARGET_* (lockdown-gate.h). Returns 0 or the reason's index + 1. */
uint32_t lockdown_rs_gate(uint8_t level, uint32_t hypercall, uint32_t operation, uint32_t selector, uint8_t relation,
                          const void *arg, size_t size);
const char *lockdown_rs_operation(uint32_t hypercall, uint32_t operation, uint32_t selector);
/*
 * A test of eight bytes of a structure: value & mask lies between low and low + span. Where all tests of an operation hold,
 * no value in the structure is a reason to refuse it. Returns 1, or 0 behind the last. The layout is the object's.
 */
struct lockdown_quick {
    uint64_t mask;
    uint64_t low;
    uint64_t span;
    uint16_t offset;
};
uint8_t lockdown_rs_quick(uint32_t hypercall, uint32_t operation, uint32_t selector, uint32_t index,
                          struct lockdown_quick *test);
/* Whether unsigned text may say name=value: 0 or the reason's index + 1. */
uint32_t lockdown_rs_parameter(uint8_t level, const char *name, const char *value);

#ifdef CONFIG_LOCKDOWN

/* The state. It changes while the command line is read and never after. */
extern uint8_t lockdown_level_now;      /* boot.c writes it; the hooks of the gate pay one load and one branch for it */
static inline uint8_t lockdown_level(void) { return lockdown_level_now; }
const char *lockdown_level_name(void);  /* "none", "integrity", "confidentiality" */
const char *lockdown_set_by(void);      /* "secure-boot", "command-line", "build"; "nothing" where it is not locked */

/* The refused tokens, oldest first; NULL behind the last. */
const struct lockdown_record *lockdown_refused(unsigned int index);
const char *lockdown_refused_text(const struct lockdown_record *record);
const char *lockdown_segment_name(uint8_t segment);
unsigned int lockdown_refused_lost(void);

/* Hooks of the boot, in the order in which they run. */
/* Filters Xen's command line in place. Returns dom0's text, behind a " -- ", or NULL: what strstr() gave before. */
char *lockdown_command_line(const char *line);
/* Logs what was refused. Stops the boot where the lock could not be kept. */
void lockdown_report(void);
/* Filters the kernel's own line, from the module's string. */
void lockdown_dom0_kernel(char *line);
/* Puts the option that locks dom0's kernel into its line. */
void lockdown_dom0_line(char *line, size_t size);

/* What the EFI stage found out; it runs before anything else, at physical addresses. */
struct lockdown_efi {
    bool asked;         /* the firmware was asked */
    bool secure_boot;
    bool locked;        /* by Secure Boot, the build, or trusted text */
    bool config_signed; /* the configuration is the image's own section */
    bool kernel_on_disk;
    bool ucode_on_disk;
    size_t config_size; /* how much of the joined command line is the configuration's */
};
extern struct lockdown_efi lockdown_efi;
/* Whether trusted text, which the EFI stage has at hand, locks. Only where the image's relocations are applied. */
bool lockdown_trusted_locks(uint8_t segment, const char *text);
/* Keeps what the EFI stage refused, for the log. */
void lockdown_efi_refused(const char *reason, const char *text);

#else /* !CONFIG_LOCKDOWN */

static inline uint8_t lockdown_level(void) { return LOCKDOWN_NONE; }
static inline char *lockdown_command_line(const char *line) { return strstr(line, " -- "); }
static inline void lockdown_report(void) {}
static inline void lockdown_dom0_kernel(char *line) {}
static inline void lockdown_dom0_line(char *line, size_t size) {}

#endif /* CONFIG_LOCKDOWN */

#endif /* XEN_LOCKDOWN_H */
