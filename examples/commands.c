/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "connections.h"

#ifdef DEBUG_BUILD
#define BUILD " (debug)"
#else
#define BUILD ""
#endif

#define MAX_WORDS 8

/* A line, split into words; words[0] is the command. */
struct line {
    const struct options *defaults;
    size_t count;
    char *words[MAX_WORDS];
};

/* These return false when the arguments make no sense. */
typedef bool(command_function)(const struct line *line);

struct command {
    const char *name;
    const char *arguments;
    const char *help;
    size_t min_arguments;
    size_t max_arguments;
    command_function *run;
};

static command_function run_help;

static bool parse_index(const char *word, uint32_t *index)
{
    return parse_number(word, CONNECTIONS_MAX - 1, index);
}

static bool run_exit(const struct line *line)
{
    (void)line;
    return true; /* command_run knows */
}

static bool run_conn(const struct line *line)
{
    struct options options = *line->defaults;
    uint32_t is_master = 0;

    if (!parse_index(line->words[1], &options.id))
        return false;
    if (line->count > 2 && !parse_number(line->words[2], 1, &is_master))
        return false;
    options.is_master = is_master != 0;
    connection_create(&options);
    return true;
}

static bool run_del(const struct line *line)
{
    uint32_t index = 0;

    if (!parse_index(line->words[1], &index))
        return false;
    connection_delete(index);
    return true;
}

static bool run_show(const struct line *line)
{
    (void)line;
    connections_show();
    return true;
}

static bool run_ip_set(const struct line *line)
{
    uint32_t index = 0;
    uint8_t ip[4];

    if (!parse_index(line->words[1], &index) || !parse_ip(line->words[2], ip))
        return false;
    connection_set_ip(index, ip);
    return true;
}

static bool run_rx_mode(const struct line *line)
{
    uint32_t index = 0;
    uint32_t qid = 0;
    memif_rx_mode_t mode = MEMIF_RX_MODE_INTERRUPT;

    if (!parse_index(line->words[1], &index) || !parse_number(line->words[2], UINT16_MAX, &qid))
        return false;
    if (strcmp(line->words[3], "polling") == 0)
        mode = MEMIF_RX_MODE_POLLING;
    else if (strcmp(line->words[3], "interrupt") != 0)
        return false;
    connection_set_rx_mode(index, (uint16_t)qid, mode);
    return true;
}

static const struct command commands[] = {
    {"help", "", "print this help", 0, 0, run_help},
    {"exit", "", "disconnect everything and exit", 0, 0, run_exit},
    {"conn", "<index> [<mode>]", "create connection: mode 0 = slave (default), 1 = master", 1, 2,
     run_conn},
    {"del", "<index>", "delete connection", 1, 1, run_del},
    {"show", "", "show connections", 0, 0, run_show},
    {"ip-set", "<index> <ip-addr>", "set the address to answer for", 2, 2, run_ip_set},
    {"rx-mode", "<index> <qid> <polling|interrupt>", "set the mode of a receive queue", 3, 3,
     run_rx_mode},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static bool run_help(const struct line *line)
{
    (void)line;
    printf("libmemif version: %s\n", LIBMEMIF_VERSION BUILD);
    printf("memif version: %d\n", MEMIF_VERSION);
    printf("commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("\t%s%s%s - %s\n", commands[i].name, *commands[i].arguments != '\0' ? " " : "",
               commands[i].arguments, commands[i].help);
    return true;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void split(char *text, struct line *line)
{
    static const char blanks[] = " \t\r\n";
    char *rest = NULL;

    for (char *word = strtok_r(text, blanks, &rest); word != NULL && line->count < MAX_WORDS;
         word = strtok_r(NULL, blanks, &rest))
        line->words[line->count++] = word;
}

bool command_run(char *text, const struct options *defaults)
{
    struct line line = {.defaults = defaults};

    split(text, &line);
    if (line.count == 0)
        return true;
    const struct command *command = find(line.words[0]);
    if (command == NULL) {
        fprintf(stderr, "unknown command: %s (try help)\n", line.words[0]);
        return true;
    }
    size_t arguments = line.count - 1;
    if (arguments < command->min_arguments || arguments > command->max_arguments ||
        !command->run(&line))
        fprintf(stderr, "usage: %s %s\n", command->name, command->arguments);
    return command->run != run_exit || arguments != 0;
}
