// SPDX-License-Identifier: GPL-2.0-only
// What was logged for a domain is remembered with the domain: it is bounded, and gone when the domain is.
// file: xen/include/xen/sched.h

@gate@
@@
 struct domain {
  ...
  domid_t domain_id;
+ unsigned long lockdown_logged;
  ...
 };
