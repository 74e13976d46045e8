/* Stands in for Xen's header of this name, with what the parser needs of it. */
#ifndef ORACLE_BUG_H
#define ORACLE_BUG_H
#define BUG() __builtin_trap()
#define ASSERT(condition) do { if ( !(condition) ) BUG(); } while ( 0 )
#define BUILD_BUG_ON(condition) _Static_assert(!(condition), "build")
#define BUILD_BUG_ON_ZERO(condition) \
    (sizeof(struct { char size; _Static_assert(!(condition), "build"); }) - 1)
#endif
