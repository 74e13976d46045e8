// SPDX-License-Identifier: GPL-2.0-only
// mca: asked once the structure is copied in.
// file: xen/arch/x86/cpu/mcheck/mce.c

@include@
@@
 #include <xen/hypercall.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol ret, op;
expression E;
@@
 do_mca(...)
 {
  <...
  if ( op->interface_version != XEN_MCA_INTERFACE_VERSION )
    return E;
+ ret = lockdown_gate(__HYPERVISOR_mca, op->cmd, 0, NULL, op, sizeof(*op));
+ if ( ret )
+     return ret;
  ...>
 }
