// SPDX-License-Identifier: GPL-2.0-only
// Debug keys: whoever presses one, on the serial console or through sysctl, ends in handle_keypress. What Xen itself
// does when it crashes comes here too. That was chosen by text that has been judged before, and is let through.
// file: xen/common/keyhandler.c

@include@
@@
 #include <xen/keyhandler.h>
+#include <xen/lockdown-gate.h>

@gate@
symbol key, key_table, h;
@@
 void handle_keypress(...)
 {
  <...
  if ( key >= ARRAY_SIZE(key_table) || !(h = &key_table[key])->fn )
    return;
+ if ( lockdown_key(key) )
+     return;
  ...>
 }

@gate_crash@
expression list E;
@@
 void keyhandler_crash_action(...)
 {
  <...
- handle_keypress(E)
+ lockdown_crash_key(handle_keypress(E))
  ...>
 }
