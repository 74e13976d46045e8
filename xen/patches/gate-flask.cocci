// SPDX-License-Identifier: GPL-2.0-only
// xsm_op: the structure belongs to the module, so Flask itself asks, once it has copied it in. The text is compiled a
// second time for 32-bit callers.
// file: xen/xsm/flask/flask_op.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol op, rv;
@@
  if ( op.interface_version != XEN_FLASK_INTERFACE_VERSION )
    return -ENOSYS;
+ rv = lockdown_gate(__HYPERVISOR_xsm_op, op.cmd, 0, NULL, LOCKDOWN_NATIVE(&op), sizeof(op));
+ if ( rv )
+     return rv;
