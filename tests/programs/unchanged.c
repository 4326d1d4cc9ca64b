/* SPDX-License-Identifier: Apache-2.0 */
/* unchanged SOCKET LOCALE: prints each thing of the process that using the library changed. */
#include "exchange.h"

#include <dirent.h>
#include <fenv.h>
#include <libmemif.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

struct process {
    char locale[512];
    struct sigaction actions[NSIG];
    sigset_t mask;
    stack_t stack;
    char directory[512];
    mode_t umask;
    int rounding;
    size_t variables;
    int threads;
};

static int count_threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static void look(struct process *process)
{
    memset(process, 0, sizeof(*process));
    snprintf(process->locale, sizeof(process->locale), "%s", setlocale(LC_ALL, NULL));
    for (int i = 1; i < NSIG; i++)
        sigaction(i, NULL, &process->actions[i]);
    sigprocmask(SIG_BLOCK, NULL, &process->mask);
    sigaltstack(NULL, &process->stack);
    if (getcwd(process->directory, sizeof(process->directory)) == NULL)
        abort();
    process->umask = umask(077);
    umask(process->umask);
    process->rounding = fegetround();
    while (environ[process->variables] != NULL)
        process->variables++;
    process->threads = count_threads();
}

static void compare(const struct process *a, const struct process *b)
{
    if (strcmp(a->locale, b->locale) != 0)
        printf("locale: %s, was %s\n", b->locale, a->locale);
    for (int i = 1; i < NSIG; i++)
        if (a->actions[i].sa_handler != b->actions[i].sa_handler ||
            a->actions[i].sa_flags != b->actions[i].sa_flags)
            printf("disposition of signal %d\n", i);
    for (int i = 1; i < NSIG; i++)
        if (sigismember(&a->mask, i) != sigismember(&b->mask, i))
            printf("mask of signal %d\n", i);
    if (a->stack.ss_sp != b->stack.ss_sp)
        printf("alternate signal stack\n");
    if (strcmp(a->directory, b->directory) != 0)
        printf("working directory\n");
    if (a->umask != b->umask)
        printf("umask\n");
    if (a->rounding != b->rounding)
        printf("rounding\n");
    if (a->variables != b->variables)
        printf("environment\n");
    if (a->threads != b->threads)
        printf("threads: %d, were %d\n", b->threads, a->threads);
}

int main(int argc, char **argv)
{
    static struct process before, after;
    if (argc < 3 || setlocale(LC_ALL, argv[2]) == NULL)
        return 2;
    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    look(&before);
    if (library_begin(argv[1]) != MEMIF_ERR_SUCCESS || exchange(argv[1]) != 0)
        return 3;
    look(&after);
    compare(&before, &after);
    return library_end();
}
