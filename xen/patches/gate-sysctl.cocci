// SPDX-License-Identifier: GPL-2.0-only
// sysctl: asked where Xen's own check stands. Livepatch has a second selector, which is part of what is asked.
// file: xen/common/sysctl.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol ret, op;
expression list E;
@@
 long do_sysctl(...)
 {
  <...
  ret = xsm_sysctl(E);
  if ( ret )
    return ret;
+ ret = lockdown_gate(__HYPERVISOR_sysctl, op->cmd,
+                     op->cmd == XEN_SYSCTL_livepatch_op ? op->u.livepatch.cmd : 0,
+                     NULL, op, sizeof(*op));
+ if ( ret )
+     return ret;
  ...>
 }
