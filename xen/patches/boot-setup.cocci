// SPDX-License-Identifier: GPL-2.0-only
// The command line: filtered before it is parsed, told once there is a console, and dom0's.
// file: xen/arch/x86/setup.c

@r_includes@
@@
#include <xen/lib.h>
+#include <xen/lockdown.h>

@r_separator@
expression E;
@@
__start_xen(...)
{
<...
-strstr(E, " -- ")
+lockdown_command_line(E)
...>
}

@r_report@
expression E;
@@
__start_xen(...)
{
<...
+lockdown_report();
printk("Command line: %s\n", E);
...>
}

@r_kernel@
identifier B = {cmdline, dom0_cmdline};
expression E;
@@
create_dom0(...)
{
<...
safe_strcpy(B, E);
+lockdown_dom0_kernel(B);
...>
}

@r_line@
identifier B;
statement S;
@@
create_dom0(...)
{
<...
+lockdown_dom0_line(B, sizeof(B));
if ( skip_ioapic_setup && !strstr(B, "noapic") ) S
...>
}
