// SPDX-License-Identifier: GPL-2.0-only
// sched_op remote_shutdown: asked where Xen's own check stands.
// file: xen/common/sched/core.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol ret, d, sched_remote_shutdown;
expression list E;
@@
 ret = xsm_schedop_shutdown(E);
+ret = ret ?: lockdown_gate(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, 0, d, &sched_remote_shutdown,
+                           sizeof(sched_remote_shutdown));
