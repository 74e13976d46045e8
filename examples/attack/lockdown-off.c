// SPDX-License-Identifier: MIT OR Apache-2.0
// An attack for `xen-lockdown prove --extra-attacks`, as docs/attacks.md describes them: it asks dom0's kernel to take its
// own lockdown back, and looks whether it did. Its twin reads the same file.
//
//     mkdir -p target/extra && gcc -static -O2 -o target/extra/lockdown-off examples/attack/lockdown-off.c

#include <stdio.h>
#include <string.h>

#define FILE_OF_THE_LOCK "/sys/kernel/security/lockdown"

/* The level stands in brackets: "none [integrity] confidentiality". */
static int read_level(char *level, size_t size)
{
    char text[128] = "";
    FILE *file = fopen(FILE_OF_THE_LOCK, "r");
    if (!file)
        return -1;
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    char *from = strchr(text, '['), *to = from ? strchr(from, ']') : NULL;
    if (!to || (size_t)(to - from) > size)
        return -1;
    memcpy(level, from + 1, to - from - 1);
    level[to - from - 1] = '\0';
    return 0;
}

static int say(const char *verdict, const char *evidence)
{
    printf("{\"id\":\"lockdown-off\",\"verdict\":\"%s\",\"evidence\":\"%s\"}\n", verdict, evidence);
    return 0;
}

int main(int argc, char **argv)
{
    char before[64], after[64], evidence[256];

    if (argc == 2 && !strcmp(argv[1], "--describe")) {
        puts("{\"schema\":\"xen-lockdown/attack/1\",\"id\":\"lockdown-off\",\"rule\":\"B8\","
             "\"summary\":\"Asks dom0's kernel to take its lockdown back.\"}");
        return 0;
    }
    if (read_level(before, sizeof(before))) {
        fputs("lockdown-off: " FILE_OF_THE_LOCK " cannot be read\n", stderr);
        return 2;
    }
    if (argc == 2 && !strcmp(argv[1], "--twin")) {
        snprintf(evidence, sizeof(evidence), "the level reads %s", before);
        return say("works", evidence);
    }
    if (!strcmp(before, "none"))
        return say("not-applicable", "the kernel is not locked down");

    FILE *file = fopen(FILE_OF_THE_LOCK, "w");
    if (file) {
        fputs("none", file);
        fclose(file);
    }
    if (read_level(after, sizeof(after)))
        return 2;
    snprintf(evidence, sizeof(evidence), "the level was %s and is %s", before, after);
    return say(strcmp(after, "none") ? "held" : "breached", evidence);
}
