// SPDX-License-Identifier: GPL-2.0-only
// kexec_op: asked where Xen's own check stands, for native and 32-bit callers alike. No argument has been copied in
// yet, and none is needed: what loads, starts or drops an image is refused whole.
// file: xen/common/kexec.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol ret, op;
expression list E;
@@
 do_kexec_op_internal(...)
 {
  <...
  ret = xsm_kexec(E);
  if ( ret )
    return ret;
+ ret = lockdown_gate(__HYPERVISOR_kexec_op, lockdown_number(op), 0, NULL, NULL, 0);
+ if ( ret )
+     return ret;
  ...>
 }
