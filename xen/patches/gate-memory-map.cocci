// SPDX-License-Identifier: GPL-2.0-only
// memory_op set_memory_map: asked where Xen's own check stands. 32-bit callers come here too.
// file: xen/arch/x86/mm.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol rc, d, fmap;
expression list E;
@@
 rc = xsm_domain_memory_map(E);
+rc = rc ?: lockdown_gate(__HYPERVISOR_memory_op, XENMEM_set_memory_map, 0, d, &fmap, sizeof(fmap));
