// SPDX-License-Identifier: GPL-2.0-only
// The EFI stage: what the firmware says, which configuration is read, which files, which text.
// file: xen/common/efi/boot.c

@r_includes@
@@
#include "efi-boot.h"
+#include <xen/lockdown-efi.h>

@r_firmware@
expression E;
@@
efi_init(...)
{
...
StdErr = E;
+lockdown_efi_firmware();
}

@r_file@
identifier D, N, F;
@@
read_file(EFI_FILE_HANDLE D, CHAR16 *N, struct file *F, ...)
{
...
const CHAR16 *what = NULL;
+lockdown_efi_file(N, F);
...
}

@r_config@
identifier I;
@@
efi_start(...)
{
...
EFI_LOADED_IMAGE *I;
<...
+lockdown_efi_config(I);
pre_parse(&cfg);
...>
}

@r_arguments@
expression S;
statement T, U;
@@
efi_start(...)
{
<...
+S.w = lockdown_efi_arguments(S.w, cfg_file_name);
if (S.w) T else U
...>
}

@r_options@
expression O, C;
@@
efi_start(...)
{
<...
+O = lockdown_efi_options(O, C);
efi_arch_handle_cmdline(..., O, C);
...>
}

@r_kernel@
@@
efi_start(...)
{
<...
+lockdown_efi_kernel();
efi_arch_edd();
...>
}
