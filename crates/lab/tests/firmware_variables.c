/* The firmware, faked: every combination of what it can say, asked by the code that goes into Xen. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What Xen has where the header is included; nothing but the variables is tried here. */
typedef uint8_t UINT8;
typedef uint32_t UINT32;
typedef uintptr_t UINTN, EFI_STATUS;
typedef uint16_t CHAR16;
typedef struct { uint32_t a; uint16_t b, c; uint8_t d[8]; } EFI_GUID;
#define EFI_SUCCESS 0
#define EFI_HIGH(n) (((UINTN)1 << 63) | (n))
#define EFI_DEVICE_ERROR EFI_HIGH(7)
#define EFI_NOT_FOUND EFI_HIGH(14)
#define EFI_BUFFER_TOO_SMALL EFI_HIGH(5)
#define EFI_ERROR(status) ((intptr_t)(status) < 0)
#define EFI_VARIABLE_NON_VOLATILE 1
#define EFI_VARIABLE_BOOTSERVICE_ACCESS 2
#define EFI_VARIABLE_RUNTIME_ACCESS 4
#define EFI_GLOBAL_VARIABLE { 0x8be4df61, 0x93ca, 0x11d2, { 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c } }
#define __init
#define __initdata

struct runtime {
    EFI_STATUS (*GetVariable)(CHAR16 *name, EFI_GUID *guid, UINT32 *attributes, UINTN *size, void *value);
};

/* One variable, as firmware has it. */
struct variable {
    const char *says;
    EFI_STATUS status;
    UINT32 attributes;
    UINTN size;
    UINT8 value[16];
};

enum { secure_boot, setup_mode, mok_runtime, mok, variables };
static const char *const names[variables] = { "SecureBoot", "SetupMode", "MokSBStateRT", "MokSBState" };
static struct variable now[variables];

static EFI_STATUS get(CHAR16 *name, EFI_GUID *guid, UINT32 *attributes, UINTN *size, void *value)
{
    static const EFI_GUID shim = { 0x605dab50, 0xe046, 0x4300, { 0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23 } };
    static const EFI_GUID global = EFI_GLOBAL_VARIABLE;
    char text[16] = "";
    unsigned int i;

    for ( i = 0; i < sizeof(text) - 1 && name[i]; i++ )
        text[i] = name[i];
    for ( i = 0; i < variables; i++ )
        if ( !strcmp(text, names[i]) && !memcmp(guid, i < mok_runtime ? &global : &shim, sizeof(*guid)) )
            break;
    if ( i == variables )
        return EFI_NOT_FOUND;
    if ( now[i].status )
        return now[i].status;
    if ( attributes )
        *attributes = now[i].attributes;
    if ( now[i].size > *size )
    {
        *size = now[i].size;
        return EFI_BUFFER_TOO_SMALL;
    }
    *size = now[i].size;
    memcpy(value, now[i].value, now[i].size);
    return EFI_SUCCESS;
}

static struct runtime services = { get };
static struct runtime *efi_rs = &services;

#include "variables.h"

static const struct variable states[] = {
    { "absent", EFI_NOT_FOUND },
    { "error", EFI_DEVICE_ERROR },
    { "off", 0, 6, 1, { 0 } },
    { "on", 0, 6, 1, { 1 } },
    { "two", 0, 6, 1, { 2 } },
    { "empty", 0, 6, 0 },
    { "off of two bytes", 0, 6, 2, { 0, 0 } },
    { "on of two bytes", 0, 6, 2, { 1, 0 } },
    { "longer than asked for", 0, 6, 16, { 1 } },
    { "off, stored", 0, 7, 1, { 0 } },
    { "on, stored", 0, 7, 1, { 1 } },
    { "off, boot services", 0, 2, 1, { 0 } },
    { "on, boot services", 0, 2, 1, { 1 } },
    { "off, stored, boot services", 0, 3, 1, { 0 } },
    { "on, stored, boot services", 0, 3, 1, { 1 } },
    { "on, no attributes", 0, 0, 1, { 1 } },
};
#define STATES (sizeof(states) / sizeof(states[0]))

/* One line for each combination: the answer, and the four states. What is right stands in the test. */
int main(void)
{
    unsigned int i[variables];

    for ( i[0] = 0; i[0] < STATES; i[0]++ )
    for ( i[1] = 0; i[1] < STATES; i[1]++ )
    for ( i[2] = 0; i[2] < STATES; i[2]++ )
    for ( i[3] = 0; i[3] < STATES; i[3]++ )
    {
        unsigned int k;

        for ( k = 0; k < variables; k++ )
            now[k] = states[i[k]];
        printf("%d\t%s\t%s\t%s\t%s\n", lockdown_secure_boot(), states[i[0]].says, states[i[1]].says,
               states[i[2]].says, states[i[3]].says);
    }
    return 0;
}
