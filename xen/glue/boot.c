/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The latch, the segments of the command line, and what was refused of them.
 *
 * Every decision is made by the object. What is here carries text to it and keeps what it answers.
 */
#include <xen/cache.h>
#include <xen/efi.h>
#include <xen/errno.h>
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/lockdown-reasons.h>
#include <xen/lockdown.h>
#include <xen/param.h>
#include <xen/version.h>
#include <public/xen.h>

/* Written in the EFI stage, before .bss is cleared; so not in .bss. */
struct lockdown_efi __section(".data.ro_after_init") lockdown_efi = {};

uint8_t __ro_after_init lockdown_level_now;
static const char *__ro_after_init set_by;
static struct lockdown_records __section(".data.ro_after_init") records = {};

/* Why the lock cannot be kept. Told once there is a console, and then the boot ends. */
static const char *__initdata broken;
static unsigned int __initdata reported, reported_lost;

/* dom0's text from behind the separators; Xen takes it from the space in front of the text on. */
static char __initdata dom0_text[4 + MAX_GUEST_CMDLINE] = " -- ";

/* A segment's text for dom0, kept until all of Xen's own is judged: the lock may still rise. */
struct piece {
    char *text;
    size_t size;
    uint8_t segment;
};

static uint32_t __init version(void)
{
    return xen_major_version() * 100 + xen_minor_version();
}

static void __init raise(uint8_t to, const char *by)
{
    if ( to == LOCKDOWN_IMPOSSIBLE )
    {
        broken = "the object was handed an argument that cannot be";
        to = LOCKDOWN_INTEGRITY;
    }
    if ( to <= lockdown_level_now )
        return;
    if ( lockdown_level_now == LOCKDOWN_NONE )
        set_by = by;
    lockdown_level_now = to;
}

static void __init begin(void)
{
    static const char __initconst builtin[] = CONFIG_CMDLINE;

    if ( lockdown_efi.secure_boot )
        raise(LOCKDOWN_INTEGRITY, "secure-boot");
    if ( IS_ENABLED(CONFIG_LOCKDOWN_DEFAULT_ALWAYS) ||
         (IS_ENABLED(CONFIG_LOCKDOWN_DEFAULT_BLIND) && !lockdown_efi.asked) )
        raise(LOCKDOWN_INTEGRITY, "build");
    /* Xen never splits its built-in text, and what is built in is honoured whole. */
    raise(lockdown_rs_latches(lockdown_level_now, LOCKDOWN_BUILTIN, version(), builtin, sizeof(builtin) - 1),
          "command-line");
    /* What the EFI stage took to be locked stays so, whatever it took it from. */
    if ( lockdown_efi.locked )
        raise(LOCKDOWN_INTEGRITY, "command-line");
}

static struct piece __init segment(uint8_t from, char *text, size_t size)
{
    size_t end = size, dom0 = lockdown_rs_split(text, size, &end);
    struct piece piece = { .text = text + size, .size = 0, .segment = from };

    if ( end > dom0 || dom0 > size )
    {
        broken = "the object split a text outside of it";
        end = dom0 = 0;
    }
    /* An overriding built-in line leaves nothing of the others for Xen, but all of them for dom0. */
    if ( !IS_ENABLED(CONFIG_CMDLINE_OVERRIDE) )
        raise(lockdown_rs_filter_xen(lockdown_level_now, from, version(), text, end, &records), "command-line");
    piece.text = text + dom0;
    piece.size = size - dom0;
    /* The separator itself is no option. */
    memset(text + end, ' ', dom0 - end);
    return piece;
}

static void __init hand_on(const struct piece *piece)
{
    size_t used = strlen(dom0_text), room = sizeof(dom0_text) - 1 - used, size = piece->size;

    if ( !size )
        return;
    if ( lockdown_rs_filter_dom0(lockdown_level_now, piece->segment, version(), piece->text, size, &records) )
        raise(LOCKDOWN_IMPOSSIBLE, "");
    /* Xen would cut it here as well. */
    size = min(size, room);
    memcpy(dom0_text + used, piece->text, size);
    dom0_text[used + size] = '\0';
    if ( size < room )
    {
        dom0_text[used + size] = ' ';
        dom0_text[used + size + 1] = '\0';
    }
    memset(piece->text, ' ', piece->size);
}

char *__init lockdown_command_line(const char *line)
{
    /* Xen writes to it as well. */
    char *text = (char *)line;
    size_t size = strlen(text), config = lockdown_efi.config_size;
    struct piece pieces[2] = {};

    begin();
    if ( config > size )
    {
        broken = "the configuration's text is not at the beginning of the command line";
        config = size;
    }
    if ( config )
        pieces[0] = segment(lockdown_efi.config_signed ? LOCKDOWN_SIGNED : LOCKDOWN_RUNTIME, text, config);
    if ( size > config )
        pieces[1] = segment(LOCKDOWN_RUNTIME, text + config, size - config);
    hand_on(&pieces[0]);
    hand_on(&pieces[1]);
    if ( broken )
        memset(text, ' ', size);

    /* A locked dom0 always gets a line, because the option that locks it goes there. */
    return dom0_text[4] || lockdown_level_now ? dom0_text : NULL;
}

/* A token may hold anything, and what reads the log may be a terminal. */
static void __init print_refused(const struct lockdown_record *record)
{
    char text[sizeof("...") + 127];
    const char *from = lockdown_refused_text(record);
    unsigned int i;

    for ( i = 0; from[i] && i < 127; i++ )
        text[i] = from[i] > ' ' && from[i] < 0x7f ? from[i] : '?';
    text[i] = '\0';
    if ( record->cut )
        safe_strcat(text, "...");
    printk(XENLOG_WARNING "lockdown: refused \"%s\" (%s%s): %s: %s\n", text, lockdown_segment_name(record->segment),
           record->dom0 ? ", for dom0" : "", lockdown_rs_reason(record->reason),
           lockdown_rs_reason_text(record->reason));
}

static void __init print_new(void)
{
    for ( ; reported < records.count; reported++ )
        print_refused(&records.record[reported]);
    if ( records.lost != reported_lost )
        printk(XENLOG_WARNING "lockdown: refused %u more, for which there is no room\n", records.lost);
    reported_lost = records.lost;
}

void __init lockdown_report(void)
{
    bool loader = efi_enabled(EFI_LOADER);

    if ( lockdown_level_now )
        printk(XENLOG_WARNING "lockdown: locked (%s) by %s\n", lockdown_level_name(), set_by);
    print_new();
    if ( broken )
        panic("lockdown: %s\n", broken);
    if ( loader || !lockdown_level_now )
        return;
    /* Nobody is left who could verify what a boot loader put into memory. */
    if ( lockdown_efi.secure_boot )
        panic("lockdown: refused the boot loader's modules: " LOCKDOWN_REASON_UNSIGNED_FILE
              ": boot a signed unified image instead\n");
    printk(XENLOG_WARNING "lockdown: Xen cannot verify dom0's kernel and ramdisk, which the boot loader read\n");
}

void __init lockdown_dom0_kernel(char *line)
{
    bool is_signed = efi_enabled(EFI_LOADER) && lockdown_efi.config_signed;
    uint8_t from = is_signed ? LOCKDOWN_SIGNED : LOCKDOWN_RUNTIME;
    char *name = line;

    /*
     * Xen's EFI loader puts the file's name in front, and since 4.20 leaves it there for dom0 to read. It is no option,
     * and a file on a disk can have any name.
     */
    if ( lockdown_level_now && !is_signed && efi_enabled(EFI_LOADER) && version() >= 420 )
        while ( *name && *name != ' ' )
            *name++ = ' ';
    if ( lockdown_rs_filter_dom0(lockdown_level_now, from, version(), line, strlen(line), &records) )
        panic("lockdown: the object was handed an argument that cannot be\n");
    print_new();
}

void __init lockdown_dom0_line(char *line, size_t size)
{
    if ( lockdown_level_now && !lockdown_rs_dom0_line(lockdown_level_now, line, size) )
        panic("lockdown: dom0's command line has no room for the option that locks its kernel\n");
}

bool __init lockdown_trusted_locks(uint8_t from, const char *text)
{
    size_t size = strlen(text), end = size;

    if ( from != LOCKDOWN_BUILTIN )
        lockdown_rs_split(text, size, &end);
    return lockdown_rs_latches(LOCKDOWN_NONE, from, version(), text, end) != LOCKDOWN_NONE;
}

void __init lockdown_efi_refused(const char *reason, const char *text)
{
    if ( lockdown_rs_record(LOCKDOWN_RUNTIME, reason, text, strlen(text), &records) )
        broken = "the EFI stage refused something for a reason that does not exist";
}

/* The lock is set before the parser runs; here it only becomes known as an option. */
static int __init cf_check parse_lockdown(const char *s)
{
    return lockdown_level_now ? 0 : -EINVAL;
}
custom_param("lockdown", parse_lockdown);

const char *lockdown_level_name(void)
{
    switch ( lockdown_level_now )
    {
    case LOCKDOWN_NONE:
        return "none";
    case LOCKDOWN_INTEGRITY:
        return "integrity";
    default:
        return "confidentiality";
    }
}

const char *lockdown_set_by(void)
{
    return set_by ?: "nothing";
}

const struct lockdown_record *lockdown_refused(unsigned int index)
{
    return index < min_t(unsigned int, records.count, ARRAY_SIZE(records.record)) ? &records.record[index] : NULL;
}

const char *lockdown_refused_text(const struct lockdown_record *record)
{
    return record->at < sizeof(records.text) ? &records.text[record->at] : "";
}

const char *lockdown_segment_name(uint8_t segment)
{
    switch ( segment )
    {
    case LOCKDOWN_BUILTIN:
        return "builtin";
    case LOCKDOWN_SIGNED:
        return "signed";
    default:
        return "runtime";
    }
}

unsigned int lockdown_refused_lost(void)
{
    return records.lost;
}
