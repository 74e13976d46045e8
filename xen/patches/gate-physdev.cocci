// SPDX-License-Identifier: GPL-2.0-only
// physdev_op map_pirq and unmap_pirq: asked where Xen's own check stands, for native and 32-bit callers alike. An HVM
// domain that aims at itself does not come here.
// file: xen/arch/x86/physdev.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate_map@
symbol ret, d;
expression list E;
@@
 ret = xsm_map_domain_pirq(E);
+ret = ret ?: lockdown_gate(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, 0, d, NULL, 0);

@gate_unmap@
symbol ret, d;
expression list E;
@@
-ret = xsm_unmap_domain_pirq(E);
+ret = xsm_unmap_domain_pirq(E) ?:
+      lockdown_gate(__HYPERVISOR_physdev_op, PHYSDEVOP_unmap_pirq, 0, d, NULL, 0);
