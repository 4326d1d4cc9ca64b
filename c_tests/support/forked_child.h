/* SPDX-License-Identifier: Apache-2.0 */

/* What a forked child finds, told to its parent. */

#ifndef MEMIF_C_TESTS_FORKED_CHILD_H
#define MEMIF_C_TESTS_FORKED_CHILD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child finds wrong: a line of its test, or 0. A check of the harness would go on in the
 * child with the tests of its parent. */
#define FAILS_UNLESS(condition)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

typedef int child_fn(void);

/* Which line it is may not fit an exit status, so it is said. */
static inline bool is_good(child_fn *function)
{
    int line = function();

    if (line != 0)
        fprintf(stderr, "line %d fails in the child\n", line);
    return line == 0;
}

static inline bool is_good_in_child(child_fn *function)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        (void)alarm(20);
        _exit(is_good(function) ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

#endif
