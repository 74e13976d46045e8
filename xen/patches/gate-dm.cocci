// SPDX-License-Identifier: GPL-2.0-only
// dm_op: asked once the structure is copied in, and the domain is known to be one that the processor virtualises.
// file: xen/arch/x86/hvm/dm.c

@include@
@@
 #include <xen/hypercall.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol d, op, rc, out;
@@
 dm_op(...)
 {
  <...
  if ( op.pad )
    goto out;
+ rc = lockdown_gate_dm_op(op.op, d);
+ if ( rc )
+     goto out;
+ rc = -EINVAL;
  ...>
 }
