// SPDX-License-Identifier: GPL-2.0-only
// memory_op paging_op: asked where Xen's own check stands. 32-bit callers come here too.
// file: xen/arch/x86/mm/mem_paging.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol rc, d, mpo;
expression list E;
@@
 rc = xsm_mem_paging(E);
+rc = rc ?: lockdown_gate(__HYPERVISOR_memory_op, XENMEM_paging_op, 0, d, &mpo, sizeof(mpo));
