/*
 * Xen's option parser with the registrations of crates/core/tests/model/mod.rs. extracted.c is written at test
 * time, from a Xen source tree: the functions of kernel.c and the split at " -- " of setup.c.
 */
#include <xen/ctype.h>
#include <xen/errno.h>
#include <xen/lib.h>
#include <xen/param.h>

#include "oracle.h"
#include "extracted.c"

static int call(const char *name, const char *text)
{
    oracle_note("call: %s(\"%s\")\n", name, text);
    return 0;
}

static int parse_lockdown(const char *s) { return call("lockdown", s); }
static int parse_ivrs(const char *s) { return call("ivrs_ioapic[-handler", s); }
static int parse_reboot(const char *s) { return call("custom", s); }
static int parse_ehci(const char *s) { return call("dbgp-ehci", s); }
static int parse_xhci(const char *s) { return call("dbgp-xhci", s); }
static int parse_slot(const char *s) { return call("slot", s); }
static int parse_map(const char *s) { return call("map", s); }
static int parse_angle(const char *s) { return call("angle", s); }
static int parse_twice(const char *s) { return call("twice", s); }

static const char *element_end(const char *s)
{
    const char *end = strchr(s, ',');

    return end ? end : s + strlen(s);
}

static int parse_iommu(const char *s)
{
    int rc = 0;

    for ( ; ; )
    {
        const char *end = element_end(s);
        int value;

        if ( (value = parse_bool(s, end)) >= 0 )
            oracle_note("call: iommu enable=%d\n", value);
        else if ( (value = parse_boolean("force", s, end)) >= 0 )
            oracle_note("call: iommu force=%d\n", value);
        else if ( (value = parse_boolean("verbose", s, end)) >= 0 )
            oracle_note("call: iommu verbose=%d\n", value);
        else
        {
            oracle_note("call: iommu EINVAL at \"%.*s\"\n", (int)(end - s), s);
            rc = -EINVAL;
        }
        if ( !*end )
            return rc;
        s = end + 1;
    }
}

static int parse_flags(const char *s)
{
    for ( ; ; )
    {
        const char *end = element_end(s);

        oracle_note("call: flags %d %d %d\n", parse_bool(s, end), parse_boolean("pv", s, end),
                    parse_boolean("pv-l1tf", s, end));
        if ( !*end )
            return 0;
        s = end + 1;
    }
}

static int parse_digits(const char *s)
{
    static const unsigned int bases[] = { 0, 8, 10, 16 };
    const char *end;
    unsigned int i;

    oracle_note("call: digits");
    for ( i = 0; i < 4; i++ )
    {
        unsigned long long value = simple_strtoull(s, &end, bases[i]);

        oracle_note(" %llx/%d", value, (int)(end - s));
        /* The narrow ones are copies of the wide ones; a difference between the two shows up as well. */
        if ( simple_strtoul(s, NULL, bases[i]) != value ||
             simple_strtol(s, NULL, bases[i]) != simple_strtoll(s, NULL, bases[i]) )
            oracle_note(" narrow");
        value = simple_strtoll(s, &end, bases[i]);
        oracle_note(" %llx/%d", value, (int)(end - s));
    }
    {
        unsigned long long value = parse_size_and_unit(s, &end);

        oracle_note(" %llx/%d\n", value, (int)(end - s));
    }
    return 0;
}

static int parse_code(const char *s)
{
    return -(int)strlen(s);
}

static bool nosmp, hap, hap_2mb, noapic, twice_first, twice_second;
static uint8_t number8;
static uint16_t number16, size16;
static uint32_t maxcpus, size32, twice_number;
static uint64_t tboot, number64, mem;
static char console[30], com1[128], nmi[10], one[1], slot_a[4], twice_text[8];

custom_param("lockdown", parse_lockdown);
boolean_param("nosmp", nosmp);
boolean_param("hap", hap);
boolean_param("hap_2mb", hap_2mb);
integer_param("tboot", tboot);
integer_param("maxcpus", maxcpus);
integer_param("u8", number8);
size_param("mem", mem);
boolean_param("noapic", noapic);
string_param("console", console);
string_param("com1", com1);
string_param("nmi", nmi);
custom_param("ivrs_ioapic[", parse_ivrs);
custom_param("reboot", parse_reboot);
custom_param("dbgp", parse_ehci);
custom_param("dbgp", parse_xhci);
ignore_param("edd");
ignore_param("placeholder");
custom_param("iommu", parse_iommu);
integer_param("u16", number16);
integer_param("u64", number64);
size_param("size16", size16);
size_param("size32", size32);
string_param("one", one);
custom_param("slot(", parse_slot);
string_param("slot(a)", slot_a);
custom_param("map{", parse_map);
custom_param("angle<", parse_angle);
custom_param("flags", parse_flags);
custom_param("digits", parse_digits);
custom_param("code", parse_code);
boolean_param("twice", twice_first);
boolean_param("twice", twice_second);
custom_param("twice", parse_twice);
integer_param("twice", twice_number);
string_param("twice", twice_text);

static void reset(void)
{
    nosmp = noapic = twice_first = false;
    hap = hap_2mb = twice_second = true;
    tboot = number64 = mem = maxcpus = size32 = twice_number = number16 = size16 = number8 = 0;
    console[0] = com1[0] = nmi[0] = one[0] = slot_a[0] = twice_text[0] = '\0';
}

static unsigned long long wide(uint64_t value) { return value; }

void oracle_line(char *line)
{
    struct oracle_boot_info info = { .cmdline = line };
    int rc;

    reset();
    rc = parse_params(line, __setup_start, __setup_end);
    oracle_note("rc: %d\nstate: ", rc);
    oracle_note("nosmp=%d hap=%d hap_2mb=%d tboot=%#llx ", nosmp, hap, hap_2mb, wide(tboot));
    oracle_note("maxcpus=%u u8=%u mem=%llu noapic=%d ", maxcpus, number8, wide(mem), noapic);
    oracle_note("console=\"%s\" com1=\"%s\" nmi=\"%s\" ", console, com1, nmi);
    oracle_note("one=\"%s\" slot(a)=\"%s\" twice_text=\"%s\" ", one, slot_a, twice_text);
    oracle_note("u16=%u u64=%llu size16=%u size32=%u ", number16, wide(number64), size16, size32);
    oracle_note("twice_first=%d twice_second=%d twice_number=%u ", twice_first, twice_second, twice_number);

    oracle_split(&info);
    /* Xen leaves one space before dom0's text. */
    oracle_note("\nxen: %s\ndom0: %s\n", line, info.kextra ? info.kextra + 1 : "(none)");
}
