/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals SOCKET own: SIGINT keeps the host's handler, and signals that come all the time end waits
 *     but disturb nothing.
 * signals SOCKET wait: waits for an event with the default dispositions.
 */
#include "exchange.h"

#include <libmemif.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t interrupts;
static volatile sig_atomic_t alarms;

static void count(int number)
{
    if (number == SIGINT)
        interrupts++;
    else
        alarms++;
}

static void ring_every(int microseconds)
{
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static int own(const char *socket_path)
{
    struct sigaction action = {.sa_handler = count}; /* no SA_RESTART */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    if (library_begin(socket_path) != MEMIF_ERR_SUCCESS)
        return 3;
    raise(SIGINT);
    if (interrupts != 1 || exchange(socket_path) != 0)
        return 4;
    ring_every(10000);
    if (serve(-1) == MEMIF_ERR_SUCCESS || alarms == 0)
        return 5;
    ring_every(500);
    for (int i = 0; i < 20; i++)
        if (exchange(socket_path) != 0)
            return 6;
    ring_every(0);
    return library_end();
}

static int wait_for_ever(const char *socket_path)
{
    if (library_begin(socket_path) != MEMIF_ERR_SUCCESS)
        return 3;
    puts("ready");
    fflush(stdout);
    (void)serve(-1);
    return 7;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    return strcmp(argv[2], "own") == 0 ? own(argv[1]) : wait_for_ever(argv[1]);
}
