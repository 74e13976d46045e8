/* Stands in for Xen's header of this name, with what the parser needs of it. */
#ifndef ORACLE_TYPES_H
#define ORACLE_TYPES_H
#include <stddef.h>
#include <stdint.h>
#include <xen/stdbool.h>
#endif
