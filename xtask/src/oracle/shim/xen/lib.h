/* Stands in for Xen's header of this name, with what the parser needs of it. */
#ifndef ORACLE_LIB_H
#define ORACLE_LIB_H
#include <xen/bug.h>
#include <xen/string.h>
#include <xen/types.h>
#define XENLOG_INFO ""
void printk(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
int parse_bool(const char *s, const char *e);
int parse_boolean(const char *name, const char *s, const char *e);
long simple_strtol(const char *text, const char **end, unsigned int base);
unsigned long simple_strtoul(const char *text, const char **end, unsigned int base);
long long simple_strtoll(const char *text, const char **end, unsigned int base);
unsigned long long simple_strtoull(const char *text, const char **end, unsigned int base);
unsigned long long parse_size_and_unit(const char *text, const char **end);
#endif
