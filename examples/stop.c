/* SPDX-License-Identifier: Apache-2.0 */
#include "stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static atomic_bool requested;

/* If the signal comes after the program has checked the flag but before it waits, it does not end
 * the wait. So an alarm signals again each second until the program has ended. */
static void request_stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&requested, true);
    alarm(1);
}

void stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
}

bool stop_requested(void)
{
    return atomic_load(&requested);
}
