// SPDX-License-Identifier: GPL-2.0-only
// memory_op sharing_op: asked where Xen's own check stands. 32-bit callers come here too.
// file: xen/arch/x86/mm/mem_sharing.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol rc, d, mso;
expression list E;
@@
 rc = xsm_mem_sharing(E);
+rc = rc ?: lockdown_gate(__HYPERVISOR_memory_op, XENMEM_sharing_op, 0, d, &mso, sizeof(mso));
