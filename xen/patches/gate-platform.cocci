// SPDX-License-Identifier: GPL-2.0-only
// platform_op: asked where Xen's own check stands. The same text is compiled a second time for 32-bit callers,
// whose structure has another layout: there no value is shown, and what depends on one is refused.
// file: xen/arch/x86/platform_hypercall.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol ret, op;
expression list E;
typedef ret_t;
@@
 ret_t do_platform_op(...)
 {
  <...
  ret = xsm_platform_op(E);
  if ( ret )
    return ret;
+ ret = lockdown_gate(__HYPERVISOR_platform_op, op->cmd, 0, NULL,
+                     LOCKDOWN_NATIVE(op), sizeof(*op));
+ if ( ret )
+     return ret;
  ...>
 }
