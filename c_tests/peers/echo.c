/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the echo programs that does not depend on the interface: options, and what is told.
 *
 * stdout: "ready" when the interfaces are there, "up N" and "down N" for each change, and for each
 * line of stdin the number of packets that each interface sent back. The end of stdin ends it.
 */
#include "echo_link.h"
#include "random.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: echo -s SOCKET -S STEADY-SOCKET -r master|slave\n"
                            "            [-n INTERFACES] [-q QUEUES] [-x WAKE-UPS]\n";

static struct echo_options options = {.interfaces = 2, .queues = 1};
static struct interface interfaces[MOST_INTERFACES];
static uint64_t random_state = RANDOM_SEED;

_Noreturn void echo_fail(const char *call, const char *why)
{
    fprintf(stderr, "echo: %s: %s\n", call, why);
    _exit(EXIT_FAILURE);
}

bool echo_wants_switch(void)
{
    return options.switch_every != 0 && random_below(&random_state, options.switch_every) == 0;
}

static void tell(const char *what, const struct interface *interface)
{
    printf("%s %u\n", what, interface->id);
    fflush(stdout);
}

void echo_up(struct interface *interface)
{
    tell("up", interface);
}

void echo_down(struct interface *interface)
{
    tell("down", interface);
}

static void tell_counts(void)
{
    flockfile(stdout);
    fputs("echoed", stdout);
    for (unsigned i = 0; i < options.interfaces; i++)
        printf(" %" PRIu64, __atomic_load_n(&interfaces[i].echoed, __ATOMIC_RELAXED));
    putchar('\n');
    fflush(stdout);
    funlockfile(stdout);
}

static void *answer_input(void *argument)
{
    char line[16];

    while (fgets(line, sizeof(line), stdin) != NULL)
        tell_counts();
    link_cancel();
    return argument;
}

static void *serve_steady(void *argument)
{
    link_serve(true);
    return argument;
}

static _Noreturn void refuse(void)
{
    fputs(usage, stderr);
    exit(2);
}

static void take_options(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "s:S:r:n:q:x:")) != -1) {
        if (option == 's')
            options.socket = optarg;
        else if (option == 'S')
            options.steady_socket = optarg;
        else if (option == 'r')
            options.is_master = strcmp(optarg, "master") == 0;
        else if (option == 'n')
            options.interfaces = (unsigned)atoi(optarg);
        else if (option == 'q')
            options.queues = (uint8_t)atoi(optarg);
        else if (option == 'x')
            options.switch_every = (uint32_t)atoi(optarg);
        else
            refuse();
    }
    if (options.socket == NULL || options.steady_socket == NULL || options.interfaces < 1 ||
        options.interfaces > MOST_INTERFACES)
        refuse();
}

int main(int argc, char **argv)
{
    pthread_t input, steady;

    take_options(argc, argv);
    for (unsigned i = 0; i < MOST_INTERFACES; i++)
        interfaces[i].id = i;
    link_open(&options, interfaces);
    puts("ready");
    fflush(stdout);
    if (pthread_create(&input, NULL, answer_input, NULL) != 0 ||
        pthread_create(&steady, NULL, serve_steady, NULL) != 0)
        echo_fail("pthread_create", "no thread");
    link_serve(false);
    pthread_join(steady, NULL);
    pthread_join(input, NULL);
    link_close(options.interfaces);
    return EXIT_SUCCESS;
}
