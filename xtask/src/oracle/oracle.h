/* What the parts of the test programs know of each other. */
#ifndef ORACLE_H
#define ORACLE_H

/* What the block of __start_xen that splits at " -- " touches. */
struct oracle_boot_info {
    char *cmdline;
    const char *kextra;
};

/* Adds to the result of the current line. */
void oracle_note(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/* Parses and splits one line, and notes what happened. The line is overwritten. */
void oracle_line(char *line);

#endif
