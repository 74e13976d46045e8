/*
 * Xen's option parser with all of Xen's options, for cargo xtask bench-parser. extracted.c and options.c are
 * written at test time: Xen's functions, and a registration for each option with a handler that does nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include <xen/ctype.h>
#include <xen/errno.h>
#include <xen/lib.h>
#include <xen/param.h>

#include "oracle.h"
#include "extracted.c"
#include "options.c"

/* Messages are not counted. */
void printk(const char *format, ...)
{
    (void)format;
}

static char text[1 << 20];

int main(int argc, char **argv)
{
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    long times = argc == 3 ? atol(argv[2]) : 0;
    size_t len, at;

    if ( !file )
        return 1;
    len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    for ( at = 0; at < len; at++ )
        if ( text[at] == '\n' )
            text[at] = '\0';
    while ( times-- > 0 )
        for ( at = 0; at < len; at += strlen(text + at) + 1 )
            parse_params(text + at, __setup_start, __setup_end);
    return 0;
}
