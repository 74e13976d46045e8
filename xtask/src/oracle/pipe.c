/*
 * Talks to cargo xtask oracle: reads a batch of lines, then writes a batch of results. A batch is a count, then for
 * each line or result its length and its bytes; numbers are 32 bits in the machine's order. Nothing is written
 * before the whole batch was read, so that neither side can wait for the other.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oracle.h"

static char *results;
static size_t used, room;

static void reserve(size_t more)
{
    if ( used + more <= room )
        return;
    room = (used + more) * 2;
    results = realloc(results, room);
    if ( !results )
        abort();
}

static void append(const char *format, va_list arguments)
{
    va_list again;
    int len;

    reserve(1024);
    va_copy(again, arguments);
    len = vsnprintf(results + used, room - used, format, arguments);
    if ( len < 0 )
        abort();
    if ( (size_t)len >= room - used )
    {
        reserve((size_t)len + 1);
        vsnprintf(results + used, room - used, format, again);
    }
    va_end(again);
    used += (size_t)len;
}

void oracle_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append(format, arguments);
    va_end(arguments);
}

/* Xen's messages; they end with a line end of their own. */
void printk(const char *format, ...)
{
    va_list arguments;

    oracle_note("printk: ");
    va_start(arguments, format);
    append(format, arguments);
    va_end(arguments);
}

static int read_number(uint32_t *number)
{
    return fread(number, sizeof(*number), 1, stdin) == 1;
}

int main(void)
{
    char *line = NULL;
    uint32_t count, len;

    while ( read_number(&count) )
    {
        used = 0;
        while ( count-- )
        {
            size_t start;

            if ( !read_number(&len) )
                return 1;
            line = realloc(line, (size_t)len + 1);
            if ( !line || fread(line, 1, len, stdin) != len )
                return 1;
            line[len] = '\0';

            reserve(sizeof(len));
            start = used;
            used += sizeof(len);
            oracle_line(line);
            len = (uint32_t)(used - start - sizeof(len));
            memcpy(results + start, &len, sizeof(len));
        }
        if ( fwrite(results, 1, used, stdout) != used || fflush(stdout) )
            return 1;
    }
    return 0;
}
