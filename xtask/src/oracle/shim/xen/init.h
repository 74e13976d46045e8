/*
 * Stands in for Xen's header of this name: the registrations go, in the order in which they are written, into a
 * section whose ends the linker marks.
 */
#ifndef ORACLE_INIT_H
#define ORACLE_INIT_H
#define __init
#define __initconst
#define __initsetup __attribute__((__used__, __no_reorder__, __section__("oracle_setup")))
#define __setup_start __start_oracle_setup
#define __setup_end __stop_oracle_setup
#endif
