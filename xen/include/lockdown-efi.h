/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lockdown in the EFI stage: included by common/efi/boot.c, whose files and printing it uses.
 *
 * It runs at physical addresses. Booted by a boot loader the image's relocations are not applied, so nothing here follows
 * a pointer that the compiler wrote there; the object is asked only from efi_start(), where they are.
 */
#ifndef XEN_LOCKDOWN_EFI_H
#define XEN_LOCKDOWN_EFI_H

#include <xen/lockdown-reasons.h>
#include <xen/lockdown.h>

#ifdef CONFIG_LOCKDOWN

enum lockdown_variable { lockdown_absent, lockdown_off, lockdown_on, lockdown_odd };

static enum lockdown_variable __init lockdown_variable(CHAR16 *name, EFI_GUID *guid, UINT32 *attributes)
{
    UINT8 value[8] = {};
    UINTN size = sizeof(value);
    EFI_STATUS status = efi_rs->GetVariable(name, guid, attributes, &size, value);

    if ( status == EFI_NOT_FOUND )
        return lockdown_absent;
    if ( EFI_ERROR(status) || size != 1 || value[0] > 1 )
        return lockdown_odd;
    return value[0] ? lockdown_on : lockdown_off;
}

/* What cannot be understood counts as Secure Boot. */
static bool __init lockdown_secure_boot(void)
{
    static EFI_GUID __initdata global = EFI_GLOBAL_VARIABLE;
    static EFI_GUID __initdata shim = { 0x605dab50, 0xe046, 0x4300, { 0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23 } };
    const UINT32 volatile_runtime = EFI_VARIABLE_BOOTSERVICE_ACCESS | EFI_VARIABLE_RUNTIME_ACCESS;
    UINT32 attributes = 0;

    switch ( lockdown_variable((CHAR16 *)L"SecureBoot", &global, &attributes) )
    {
    case lockdown_absent:
        return false;
    case lockdown_off:
        /* The firmware's own is volatile; one that was stored is somebody else's. */
        if ( attributes == volatile_runtime )
            return false;
        return true;
    case lockdown_on:
        break;
    default:
        return true;
    }
    attributes = 0;
    if ( lockdown_variable((CHAR16 *)L"SetupMode", &global, &attributes) == lockdown_on &&
         attributes == volatile_runtime )
        return false;
    /*
     * The owner can tell shim not to verify. Only shim can say so in a way that does not outlive the boot, or that the
     * operating system cannot say.
     */
    attributes = 0;
    if ( lockdown_variable((CHAR16 *)L"MokSBStateRT", &shim, &attributes) == lockdown_on &&
         !(attributes & EFI_VARIABLE_NON_VOLATILE) )
        return false;
    attributes = 0;
    if ( lockdown_variable((CHAR16 *)L"MokSBState", &shim, &attributes) == lockdown_on &&
         !(attributes & EFI_VARIABLE_RUNTIME_ACCESS) )
        return false;
    return true;
}

static void __init lockdown_efi_firmware(void)
{
    lockdown_efi.asked = true;
    lockdown_efi.secure_boot = lockdown_secure_boot();
    lockdown_efi.locked = lockdown_efi.secure_boot || IS_ENABLED(CONFIG_LOCKDOWN_DEFAULT_ALWAYS);
}

/* A configuration was read: is it the one in the image? */
static void __init lockdown_efi_config(const EFI_LOADED_IMAGE *image)
{
    UINTN size = 0;
    const void *section = pe_find_section(image->ImageBase, image->ImageSize, L"config", &size);
    bool own = section && cfg.size == size && !memcmp(cfg.ptr, section, size);

    if ( lockdown_trusted_locks(LOCKDOWN_BUILTIN, CONFIG_CMDLINE) )
        lockdown_efi.locked = true;
    if ( lockdown_efi.locked && section && !own )
        blexit(L"lockdown: refused a configuration other than the image's own: " LOCKDOWN_REASON_SIGNED_SELECTION);
    lockdown_efi.config_signed = own;
}

/* Says and keeps what an argument wanted. */
static void __init lockdown_efi_ignore(const char *reason, const char *before, const CHAR16 *argument)
{
    char text[128];
    size_t used = strlcpy(text, before, sizeof(text));

    for ( ; *argument && used + 1 < sizeof(text); argument++ )
        text[used++] = *argument > ' ' && *argument < 0x7f ? *argument : '?';
    text[used] = '\0';
    lockdown_efi_refused(reason, text);
}

/* The arguments in front of `--`. Returns the section that is to be used; NULL for the configuration's own choice. */
static CHAR16 *__init lockdown_efi_arguments(CHAR16 *section, const CHAR16 *file)
{
    if ( lockdown_efi.config_signed && !lockdown_efi.locked )
    {
        const char *options = get_value(&cfg, get_value(&cfg, "global", "default"), "options");

        if ( options && lockdown_trusted_locks(LOCKDOWN_SIGNED, options) )
            lockdown_efi.locked = true;
    }
    if ( !lockdown_efi.locked )
        return section;
    if ( map_bs )
    {
        PrintStr(L"lockdown: ignored -mapbs: " LOCKDOWN_REASON_HARDENING "\r\n");
        lockdown_efi_refused(LOCKDOWN_REASON_HARDENING, "-mapbs");
        map_bs = false;
    }
    if ( !lockdown_efi.config_signed )
        return section;
    if ( file )
    {
        PrintStr(L"lockdown: ignored -cfg: " LOCKDOWN_REASON_SIGNED_SELECTION "\r\n");
        lockdown_efi_ignore(LOCKDOWN_REASON_SIGNED_SELECTION, "-cfg=", file);
    }
    if ( section )
    {
        PrintStr(L"lockdown: ignored the name of a section: " LOCKDOWN_REASON_SIGNED_SELECTION "\r\n");
        lockdown_efi_ignore(LOCKDOWN_REASON_SIGNED_SELECTION, "", section);
    }
    return NULL;
}

/* A file is about to be read from a disk. */
static void __init lockdown_efi_file(const CHAR16 *name, const struct file *file)
{
    if ( !lockdown_efi.locked || !name )
        return;
    /* The CPU verifies microcode; it and the kernel are looked at when they are in memory. */
    if ( file == &ucode )
    {
        lockdown_efi.ucode_on_disk = true;
        return;
    }
    if ( file == &kernel )
    {
        lockdown_efi.kernel_on_disk = true;
        return;
    }
    if ( file == &cfg && !lockdown_efi.config_signed )
        return;
    PrintStr(L"lockdown: refused the file ");
    PrintStr(name);
    blexit(file == &cfg ? L": " LOCKDOWN_REASON_SIGNED_SELECTION ": the signed configuration chains to it"
                        : L": " LOCKDOWN_REASON_UNSIGNED_FILE ": embed it in the signed image");
}

/* The command line is about to be joined. Returns the boot entry's text. */
static CHAR16 *__init lockdown_efi_options(CHAR16 *options, const char *config)
{
    const CHAR16 *ptr;

    lockdown_efi.config_size = config ? strlen(config) : 0;
    for ( ptr = options; lockdown_efi.locked && ptr && *ptr; ptr++ )
    {
        /* Xen's conversion would stop here and leave both halves of what it did. */
        if ( *ptr > 0x7f )
        {
            PrintStr(L"lockdown: ignored the boot entry's options, which are not ASCII: " LOCKDOWN_REASON_TEXT_FORM "\r\n");
            lockdown_efi_ignore(LOCKDOWN_REASON_TEXT_FORM, "", options);
            return NULL;
        }
    }
    return options;
}

/*
 * The CPU verifies microcode, and nobody what is only called so. What Xen does not use as microcode, because it cannot or
 * because "ucode=scan" says so, stays a module like any other: it becomes dom0's ramdisk where there is none, and the XSM
 * policy where it begins like one.
 */
static void __init lockdown_efi_ucode(void)
{
    static const UINT8 __initconst policy[] = { 0x8c, 0xff, 0x7c, 0xf9 };

    if ( !lockdown_efi.locked || !lockdown_efi.ucode_on_disk )
        return;
    if ( !ramdisk.size || (ucode.size >= sizeof(policy) && !memcmp(ucode.ptr, policy, sizeof(policy))) )
        blexit(L"lockdown: refused what is called microcode: unsigned-file: Xen could take it for a ramdisk or a policy");
}

/* All files are there. What shim verifies Xen hands to it by itself, where there is a shim. */
static void __init lockdown_efi_kernel(void)
{
    static EFI_GUID __initdata shim_lock_guid = SHIM_LOCK_PROTOCOL_GUID;
    void *shim_lock;

    lockdown_efi_ucode();
    if ( !lockdown_efi.locked || !lockdown_efi.kernel_on_disk )
        return;
    if ( EFI_ERROR(efi_bs->LocateProtocol(&shim_lock_guid, NULL, &shim_lock)) )
        blexit(L"lockdown: refused dom0's kernel: " LOCKDOWN_REASON_UNSIGNED_FILE
               ": embed it in the signed image, or boot through shim");
}

#else /* !CONFIG_LOCKDOWN */

static inline void lockdown_efi_firmware(void) {}
static inline void lockdown_efi_config(const EFI_LOADED_IMAGE *image) {}
static inline CHAR16 *lockdown_efi_arguments(CHAR16 *section, const CHAR16 *file) { return section; }
static inline void lockdown_efi_file(const CHAR16 *name, const struct file *file) {}
static inline CHAR16 *lockdown_efi_options(CHAR16 *options, const char *config) { return options; }
static inline void lockdown_efi_kernel(void) {}

#endif /* CONFIG_LOCKDOWN */

#endif /* XEN_LOCKDOWN_EFI_H */
