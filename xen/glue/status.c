/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the lock is and what it refused, for whoever may read hypfs: nodes below /lockdown, none of which can be
 * written. docs/status.md describes them; they are an interface, and FORMAT counts its changes.
 */
#include <xen/guest_access.h>
#include <xen/hypfs.h>
#include <xen/init.h>
#include <xen/lib.h>
#include <xen/lockdown-gate.h>
#include <xen/xmalloc.h>

#ifdef CONFIG_HYPFS

#define FORMAT 1

static const unsigned int format = FORMAT;
static unsigned int lost;

static HYPFS_DIR_INIT(folder, "lockdown");
static HYPFS_UINT_INIT(format_leaf, "format", format);
static HYPFS_STRING_INIT(level_leaf, "level");
static HYPFS_STRING_INIT(set_by_leaf, "set-by");
static HYPFS_DIR_INIT(refused_folder, "refused");
static struct hypfs_entry_leaf refused_leaf[LOCKDOWN_REASONS];
static HYPFS_UINT_INIT(lost_leaf, "tokens-lost", lost);

/* Text that is measured first and written after: what does not fit into room is only counted. */
struct text {
    char *start;
    size_t room;
    size_t length;
};

static void put(struct text *text, char c)
{
    if ( text->length < text->room )
        text->start[text->length] = c;
    text->length++;
}

static void put_string(struct text *text, const char *s)
{
    while ( *s )
        put(text, *s++);
}

/* Whoever wrote the token chose its bytes: a line of ours has one line, and none of them moves a terminal. */
static void put_escaped(struct text *text, const char *s)
{
    static const char digits[] = "0123456789abcdef";

    for ( ; *s; s++ )
    {
        unsigned char c = *s;

        if ( c >= ' ' && c < 0x7f && c != '\\' )
        {
            put(text, c);
            continue;
        }
        put_string(text, "\\x");
        put(text, digits[c >> 4]);
        put(text, digits[c & 15]);
    }
}

/*
 * One line for each refused token: segment, whose option it is, reason, whether the text is whole, the text. Sizes are
 * bounded by those of the records.
 */
static void render(struct text *text)
{
    const struct lockdown_record *record;
    unsigned int i;

    for ( i = 0; (record = lockdown_refused(i)); i++ )
    {
        put_string(text, lockdown_segment_name(record->segment));
        put_string(text, record->dom0 ? " dom0 " : " xen ");
        put_string(text, lockdown_rs_reason(record->reason) ?: "?");
        put_string(text, record->cut ? " cut " : " whole ");
        put_escaped(text, lockdown_refused_text(record));
        put(text, '\n');
    }
    put(text, 0);
}

static unsigned int cf_check tokens_size(const struct hypfs_entry *entry)
{
    struct text text = {};

    render(&text);

    return text.length;
}

/* Records are added while Xen and dom0 are started, never once a domain can ask: both passes give the same. */
static int cf_check read_tokens(const struct hypfs_entry *entry, XEN_GUEST_HANDLE_PARAM(void) to)
{
    struct text text = { .room = tokens_size(entry) };
    int ret = 0;

    text.start = xzalloc_array(char, text.room);
    if ( !text.start )
        return -ENOMEM;

    render(&text);
    if ( copy_to_guest(to, text.start, text.room) )
        ret = -EFAULT;
    xfree(text.start);

    return ret;
}

static const struct hypfs_funcs tokens_funcs = {
    .enter = hypfs_node_enter,
    .exit = hypfs_node_exit,
    .read = read_tokens,
    .write = hypfs_write_deny,
    .getsize = tokens_size,
    .findentry = hypfs_leaf_findentry,
};

static HYPFS_VARSIZE_INIT(tokens_leaf, XEN_HYPFS_TYPE_STRING, "tokens", 0, &tokens_funcs);

static int __init cf_check lockdown_status_init(void)
{
    unsigned int reason;
    const char *id;

    hypfs_string_set_reference(&level_leaf, lockdown_level_name());
    hypfs_string_set_reference(&set_by_leaf, lockdown_set_by());

    hypfs_add_dir(&hypfs_root, &folder, true);
    hypfs_add_leaf(&folder, &format_leaf, true);
    hypfs_add_leaf(&folder, &level_leaf, true);
    hypfs_add_leaf(&folder, &set_by_leaf, true);
    hypfs_add_dir(&folder, &refused_folder, true);
    for ( reason = 0; reason < LOCKDOWN_REASONS && (id = lockdown_rs_reason(reason)); reason++ )
    {
        struct hypfs_entry_leaf *leaf = &refused_leaf[reason];

        leaf->e.type = XEN_HYPFS_TYPE_UINT;
        leaf->e.encoding = XEN_HYPFS_ENC_PLAIN;
        leaf->e.name = id;
        leaf->e.size = sizeof(lockdown_refusals[reason]);
        leaf->e.funcs = &hypfs_leaf_ro_funcs;
        leaf->u.content = &lockdown_refusals[reason];
        hypfs_add_leaf(&refused_folder, leaf, true);
    }
    /* Not read, but hypfs takes no leaf without content. */
    tokens_leaf.u.content = "";
    hypfs_add_leaf(&folder, &tokens_leaf, true);
    lost = lockdown_refused_lost();
    hypfs_add_leaf(&folder, &lost_leaf, true);

    return 0;
}
__initcall(lockdown_status_init);

#endif /* CONFIG_HYPFS */
