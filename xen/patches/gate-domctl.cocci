// SPDX-License-Identifier: GPL-2.0-only
// domctl: asked once the structure is copied in and the target is known, before the first operation acts. Some
// operations act before Xen's own check of the whole structure, so the hook stands in front of all of them.
// What arch_do_domctl and the drivers carry out is reached from here and from nowhere else.
// file: xen/common/domctl.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol ret, op, d;
statement lookup;
@@
 long do_domctl(...)
 {
  <...
  if ( op->interface_version != XEN_DOMCTL_INTERFACE_VERSION )
    return -EACCES;
  lookup
+ ret = lockdown_gate_domctl(op, d);
+ if ( ret )
+     goto domctl_out_unlock_domonly;
  ...>
 }
