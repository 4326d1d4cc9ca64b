/* SPDX-License-Identifier: Apache-2.0 */
/* What victim_v1.c and victim_v4.c share: the loop and the orders on stdin. */

#include "victim.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int epoll_fd = -1;
static int stdin_mark; /* its address tells the orders from the library's descriptors */

int victim_watch(int fd, void *ptr)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = ptr};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int victim_unwatch(int fd)
{
    return epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

char *victim_path(const char *folder, const char *name)
{
    static char paths[4][128];
    static unsigned used;
    char *path = paths[used++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void answer(bool good)
{
    (void)printf("%s\n", good ? "ok" : "failed");
    (void)fflush(stdout);
}

/* False at the end of stdin. */
static bool obey(void)
{
    char order[64];
    ssize_t length = read(STDIN_FILENO, order, sizeof(order) - 1);
    if (length <= 0)
        return false;
    order[length] = '\0';
    answer(strcmp(order, "again\n") == 0 ? victim_again() : victim_rest());
    return true;
}

static bool serve(void *ptr)
{
    return ptr == &stdin_mark ? obey() : victim_serve(ptr);
}

int main(int argc, char **argv)
{
    struct epoll_event event;

    if (argc != 2)
        return 2;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || victim_watch(STDIN_FILENO, &stdin_mark) != 0 || !victim_open(argv[1]))
        return 1;
    (void)puts("ready");
    (void)fflush(stdout);
    do {
        if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
            event.data.ptr = NULL;
    } while (event.data.ptr == NULL || serve(event.data.ptr));
    bool was_told = event.data.ptr == &stdin_mark;
    victim_close();
    (void)close(epoll_fd);
    return was_told ? 0 : 1;
}
