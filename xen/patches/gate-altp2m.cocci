// SPDX-License-Identifier: GPL-2.0-only
// hvm_op altp2m: asked where Xen's own check stands, with its second selector. 32-bit callers come here too.
// file: xen/arch/x86/hvm/hvm.c

@include@
@@
 #include <xen/monitor.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol rc, d, a, out;
expression list E;
@@
 if ( (rc = xsm_hvm_altp2mhvm_op(E)) )
   goto out;
+rc = lockdown_gate(__HYPERVISOR_hvm_op, HVMOP_altp2m, a.cmd, d, &a, sizeof(a));
+if ( rc )
+    goto out;
