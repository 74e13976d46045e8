/* Stands in for Xen's header of this name; the numbers are the same. */
#include <errno.h>
