// SPDX-License-Identifier: GPL-2.0-only
// Hypercall 49 continues a paging domctl. It takes a whole domctl from whoever calls it, so it is asked like one:
// a caller need not have come through do_domctl before.
// file: xen/arch/x86/mm/paging.c

@include@
@@
 #include <xsm/xsm.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol op, d;
@@
 long do_paging_domctl_cont(...)
 {
  <...
  d = rcu_lock_domain_by_id(op.domain);
  if ( d == NULL )
    return -ESRCH;
+ if ( lockdown_gate(__HYPERVISOR_paging_domctl_cont, 0, 0, d, &op, sizeof(op)) ||
+      lockdown_gate_domctl(&op, d) )
+ {
+     rcu_unlock_domain(d);
+     return -EPERM;
+ }
  ...>
 }
