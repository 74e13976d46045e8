// SPDX-License-Identifier: GPL-2.0-only
// memory_op access_op: asked where Xen's own check stands. 32-bit callers come here too.
// file: xen/common/mem_access.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol rc, d, mao;
expression list E;
@@
 rc = xsm_mem_access(E);
+rc = rc ?: lockdown_gate(__HYPERVISOR_memory_op, XENMEM_access_op, 0, d, &mao, sizeof(mao));
