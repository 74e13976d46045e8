/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counts the instructions of the machine that QEMU emulates. A plugin for QEMU's TCG, interface version 4 (QEMU 9.2
 * to 10.0), which is declared below as QEMU's documentation describes it (docs/devel/tcg-plugins.rst): Debian packages
 * no header, and nothing of glib is needed.
 *
 * Arguments, each any number of times but the first; addresses in hexadecimal without prefix:
 *
 *   out=FILE                       where one line of JSON is written when the machine is off
 *   point=NAME:ADDRESS             the first execution of this address
 *   range=NAME:LOW:HIGH            the first execution of any address from LOW to HIGH
 *   bytes=NAME:OFFSET:BYTES        the first execution of a block of instructions that begins with BYTES, at OFFSET in
 *                                  its page: code whose place in memory is not known before
 *   interval=NAME:START:END[:END]  from each execution of START to the first END that follows it. A START that comes
 *                                  before an END begins anew
 *   group=N                        intervals are also told in groups of N, in their order
 *
 * A point holds the number of instructions that were executed before it, an interval that of those from START to
 * the last before END. Each round of a repeated string instruction counts as one, because QEMU executes it like that
 * under -icount; "repeats" counts these rounds, so that they can be left out. One processor only.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The interface, as far as it is used. */

#define FOR_QEMU __attribute__((visibility("default")))
#define INTERFACE_VERSION 4

typedef uint64_t qemu_plugin_id_t;

typedef struct {
    const char *target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus, max_vcpus;
    } system;
} qemu_info_t;

typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;

enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned int, void *),
                                            enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *, enum qemu_plugin_op,
                                                         qemu_plugin_u64, uint64_t);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t);
uint64_t qemu_plugin_u64_sum(qemu_plugin_u64);

FOR_QEMU int qemu_plugin_version = INTERFACE_VERSION;

/* What is counted. */

#define MOST 16
#define MOST_GROUPS 64
#define PAGE 4096
/* The longest instruction of x86. */
#define LONGEST 15

struct counters {
    uint64_t all, repeats;
};

static qemu_plugin_u64 all, repeats;

static struct counters now(void)
{
    return (struct counters){ qemu_plugin_u64_sum(all), qemu_plugin_u64_sum(repeats) };
}

struct point {
    enum { ADDRESS, RANGE, BYTES } kind;
    char name[64];
    uint64_t low, high;
    uint8_t bytes[32];
    size_t length;
    bool seen;
    uint64_t at;
    struct counters before;
};

struct group {
    uint64_t number, minimum, maximum, sum;
};

struct interval {
    char name[32];
    uint64_t start, ends[4];
    size_t end_count;
    bool open;
    uint64_t begun;
    struct group whole, groups[MOST_GROUPS];
};

static struct point points[MOST];
static struct interval intervals[MOST];
static size_t point_count, interval_count;
static uint64_t group_size;
static const char *out;

static void point_reached(unsigned int processor, void *data)
{
    struct point *point = data;

    (void)processor;
    if (!point->seen) {
        point->seen = true;
        point->before = now();
    }
}

static void interval_begins(unsigned int processor, void *data)
{
    struct interval *interval = data;

    (void)processor;
    interval->open = true;
    interval->begun = qemu_plugin_u64_sum(all);
}

static void add(struct group *group, uint64_t length)
{
    if (!group->number || length < group->minimum)
        group->minimum = length;
    if (length > group->maximum)
        group->maximum = length;
    group->number++;
    group->sum += length;
}

static void interval_ends(unsigned int processor, void *data)
{
    struct interval *interval = data;
    uint64_t length;

    (void)processor;
    if (!interval->open)
        return;
    interval->open = false;
    length = qemu_plugin_u64_sum(all) - interval->begun;
    if (group_size && interval->whole.number / group_size < MOST_GROUPS)
        add(&interval->groups[interval->whole.number / group_size], length);
    add(&interval->whole, length);
}

/* Whether an instruction is one of the string instructions behind a prefix that repeats it. */
static bool is_repeated(const uint8_t *code, size_t length)
{
    bool repeat = false;

    for (size_t i = 0; i < length; i++) {
        uint8_t byte = code[i];

        switch (byte) {
        case 0xf2: case 0xf3:
            repeat = true;
            break;
        /* Other prefixes: segments, sizes, lock, REX. */
        case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64 ... 0x67: case 0xf0: case 0x40 ... 0x4f:
            break;
        default:
            return repeat && ((byte >= 0x6c && byte <= 0x6f) || (byte >= 0xa4 && byte <= 0xa7) ||
                              (byte >= 0xaa && byte <= 0xaf));
        }
    }
    return false;
}

static bool begins_with(const struct qemu_plugin_tb *block, const struct point *point)
{
    uint8_t code[sizeof(point->bytes) + LONGEST];
    size_t length = 0, count = qemu_plugin_tb_n_insns(block);

    for (size_t i = 0; i < count && length < point->length; i++)
        length += qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i), code + length, LONGEST);
    return length >= point->length && !memcmp(code, point->bytes, point->length);
}

static bool is_at(const struct point *point, const struct qemu_plugin_tb *block, uint64_t address, bool first)
{
    switch (point->kind) {
    case ADDRESS:
        return address == point->low;
    case RANGE:
        return address >= point->low && address <= point->high;
    default:
        return first && address % PAGE == point->low && begins_with(block, point);
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    size_t count = qemu_plugin_tb_n_insns(block);

    (void)id;
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint8_t code[LONGEST];

        /* Before the count, so that what is executed there is not yet in it. */
        for (size_t p = 0; p < point_count; p++) {
            struct point *point = &points[p];

            /* A block is translated because it is executed next; the first of several that fit is the one. */
            if (!point->seen && is_at(point, block, address, i == 0)) {
                if (!point->at)
                    point->at = address;
                qemu_plugin_register_vcpu_insn_exec_cb(insn, point_reached, QEMU_PLUGIN_CB_NO_REGS, point);
            }
        }
        for (size_t n = 0; n < interval_count; n++) {
            struct interval *interval = &intervals[n];

            for (size_t e = 0; e < interval->end_count; e++)
                if (address == interval->ends[e])
                    qemu_plugin_register_vcpu_insn_exec_cb(insn, interval_ends, QEMU_PLUGIN_CB_NO_REGS, interval);
            if (address == interval->start)
                qemu_plugin_register_vcpu_insn_exec_cb(insn, interval_begins, QEMU_PLUGIN_CB_NO_REGS, interval);
        }
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, all, 1);
        if (is_repeated(code, qemu_plugin_insn_data(insn, code, sizeof(code))))
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, repeats, 1);
    }
}

/* What is told. */

static void tell_group(FILE *file, const struct group *group)
{
    fprintf(file, "{\"number\":%" PRIu64 ",\"minimum\":%" PRIu64 ",\"maximum\":%" PRIu64 ",\"sum\":%" PRIu64,
            group->number, group->minimum, group->maximum, group->sum);
}

static void ended(qemu_plugin_id_t id, void *data)
{
    struct counters end = now();
    const char *between = "";
    FILE *file = fopen(out, "w");

    (void)id, (void)data;
    if (!file) {
        perror(out);
        return;
    }
    fprintf(file, "{\"schema\":\"xen-lockdown/count/1\",\"instructions\":%" PRIu64 ",\"repeats\":%" PRIu64
            ",\"points\":{", end.all, end.repeats);
    for (size_t p = 0; p < point_count; p++) {
        struct point *point = &points[p];

        if (!point->seen)
            continue;
        fprintf(file, "%s\"%s\":{\"address\":%" PRIu64 ",\"instructions\":%" PRIu64 ",\"repeats\":%" PRIu64 "}",
                between, point->name, point->at, point->before.all, point->before.repeats);
        between = ",";
    }
    fprintf(file, "},\"intervals\":{");
    between = "";
    for (size_t n = 0; n < interval_count; n++) {
        struct interval *interval = &intervals[n];

        fprintf(file, "%s\"%s\":", between, interval->name);
        tell_group(file, &interval->whole);
        fprintf(file, ",\"groups\":[");
        for (size_t g = 0; g < MOST_GROUPS && interval->groups[g].number; g++) {
            fprintf(file, g ? "," : "");
            tell_group(file, &interval->groups[g]);
            fprintf(file, "}");
        }
        fprintf(file, "]}");
        between = ",";
    }
    fprintf(file, "}}\n");
    if (fclose(file))
        perror(out);
}

/* Arguments. */

static bool take_name(const char **text, char *name, size_t size)
{
    size_t length = strcspn(*text, ":");

    if (!length || length >= size || (*text)[length] != ':')
        return false;
    memcpy(name, *text, length);
    *text += length + 1;
    return true;
}

static bool take_number(const char **text, uint64_t *number)
{
    char *end;

    *number = strtoull(*text, &end, 16);
    if (end == *text || (*end && *end != ':'))
        return false;
    *text = *end ? end + 1 : end;
    return true;
}

static bool take_bytes(const char *text, struct point *point)
{
    for (; *text && point->length < sizeof(point->bytes); text += 2) {
        unsigned int byte;

        if (!text[1] || sscanf(text, "%2x", &byte) != 1)
            return false;
        point->bytes[point->length++] = byte;
    }
    return point->length && !*text;
}

static bool take_point(int kind, const char *text)
{
    struct point *point = &points[point_count++];

    point->kind = kind;
    if (!take_name(&text, point->name, sizeof(point->name)) || !take_number(&text, &point->low))
        return false;
    if (kind == RANGE && !take_number(&text, &point->high))
        return false;
    return kind == BYTES ? take_bytes(text, point) : !*text;
}

static bool take_interval(const char *text)
{
    struct interval *interval = &intervals[interval_count++];

    if (!take_name(&text, interval->name, sizeof(interval->name)) || !take_number(&text, &interval->start))
        return false;
    while (*text && interval->end_count < sizeof(interval->ends) / sizeof(interval->ends[0]))
        if (!take_number(&text, &interval->ends[interval->end_count++]))
            return false;
    return interval->end_count && !*text;
}

static bool take(const char *argument)
{
    size_t length = strcspn(argument, "=");
    const char *value = argument + length + (argument[length] == '=');

#define IS(key) (length == sizeof(key) - 1 && !memcmp(argument, key, length))
    if (IS("out"))
        return *(out = value);
    if (IS("group")) {
        group_size = strtoull(value, NULL, 10);
        return group_size;
    }
    if (IS("interval"))
        return interval_count < MOST && take_interval(value);
    if (point_count == MOST)
        return false;
    if (IS("point"))
        return take_point(ADDRESS, value);
    if (IS("range"))
        return take_point(RANGE, value);
    if (IS("bytes"))
        return take_point(BYTES, value);
#undef IS
    return false;
}

FOR_QEMU int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    struct qemu_plugin_scoreboard *board;

    if (!info->system_emulation || info->system.max_vcpus != 1) {
        fprintf(stderr, "count: a machine with one processor is wanted\n");
        return -1;
    }
    for (int i = 0; i < argc; i++)
        if (!take(argv[i])) {
            fprintf(stderr, "count: the argument %s cannot be understood\n", argv[i]);
            return -1;
        }
    if (!out) {
        fprintf(stderr, "count: out=FILE is missing\n");
        return -1;
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct counters));
    all = (qemu_plugin_u64){ board, offsetof(struct counters, all) };
    repeats = (qemu_plugin_u64){ board, offsetof(struct counters, repeats) };
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
