/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_help(const char *program, const struct option_spec *specs, FILE *to)
{
    fprintf(to, "usage: %s [options]\n", program);
    for (; specs->name != NULL; specs++)
        fprintf(to, "  --%-14s %s\n", specs->name, specs->help);
}

static void refuse(const char *program, const struct option_spec *specs, const char *what,
                   const char *value)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, value);
    print_help(program, specs, stderr);
    exit(EXIT_FAILURE);
}

static const struct option_spec *find(const struct option_spec *specs, const char *argument)
{
    if (strncmp(argument, "--", 2) != 0)
        return NULL;
    for (; specs->name != NULL; specs++)
        if (strcmp(specs->name, argument + 2) == 0)
            return specs;
    return NULL;
}

static bool parse_number(const char *text, uint32_t *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > UINT32_MAX)
        return false;
    *number = (uint32_t)value;
    return true;
}

void options_parse(int argc, char **argv, const struct option_spec *specs)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(argv[0], specs, stdout);
            exit(EXIT_SUCCESS);
        }
        const struct option_spec *spec = find(specs, argv[i]);
        if (spec == NULL)
            refuse(argv[0], specs, "no such option", argv[i]);
        if (spec->flag != NULL) {
            *spec->flag = true;
            continue;
        }
        if (++i == argc)
            refuse(argv[0], specs, "no value for", spec->name);
        if (spec->text != NULL)
            *spec->text = argv[i];
        else if (!parse_number(argv[i], spec->number))
            refuse(argv[0], specs, "not a number", argv[i]);
    }
}

void options_pin(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        fprintf(stderr, "cannot run on processor %u: %s\n", cpu, strerror(errno));
        exit(EXIT_FAILURE);
    }
}

static char folder[64];
static char socket_path[sizeof(folder) + 16];

static void remove_folder(void)
{
    unlink(socket_path);
    rmdir(folder);
}

const char *options_own_socket(void)
{
    strcpy(folder, "/tmp/memif-bench-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "%s: %s\n", folder, strerror(errno));
        exit(EXIT_FAILURE);
    }
    snprintf(socket_path, sizeof(socket_path), "%s/memif.sock", folder);
    atexit(remove_folder);
    return socket_path;
}
