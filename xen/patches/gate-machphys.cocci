// SPDX-License-Identifier: GPL-2.0-only
// memory_op machphys_mfn_list and its form for 32-bit domains: Xen has no check of its own there. Nothing is copied in
// yet, and nothing of it decides.
// file: xen/arch/x86/x86_64/mm.c

@include@
@@
 #include <xen/guest_access.h>
+#include <xen/lockdown-gate.h>

@gate@
type T;
symbol cmd, rc;
identifier F = {subarch_memory_op, compat_arch_memory_op};
@@
 F(...)
 {
  ...
  T rc = 0;
+ if ( cmd == XENMEM_machphys_mfn_list )
+     rc = lockdown_gate(__HYPERVISOR_memory_op, XENMEM_machphys_mfn_list, 0, NULL, NULL, 0);
+ else if ( cmd == XENMEM_machphys_compat_mfn_list )
+     rc = lockdown_gate(__HYPERVISOR_memory_op, XENMEM_machphys_compat_mfn_list, 0, NULL, NULL, 0);
+ if ( rc )
+     return rc;
  ...
 }
