/* SPDX-License-Identifier: Apache-2.0 */
#include "capi/v4/socket.h"

#include "capi/common.h"
#include "core/fork.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH "/run/vpp/memif.sock"

/* Implemented in Python. */
int mif_python_open(struct mif_v4_socket *sock, int64_t first, int64_t interval);

/* ---- the list ---- */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mif_v4_socket *list;

struct mif_v4_socket *mif_v4_socket_hold(memif_socket_handle_t handle)
{
    if (handle == NULL || mif_in_forked_child())
        return NULL;
    pthread_mutex_lock(&list_lock);
    struct mif_v4_socket *sock = list;
    while (sock != NULL && sock != handle)
        sock = sock->next;
    if (sock != NULL)
        sock->references++;
    pthread_mutex_unlock(&list_lock);
    return sock;
}

void mif_v4_socket_release(struct mif_v4_socket *sock)
{
    pthread_mutex_lock(&list_lock);
    bool last = --sock->references == 0;
    pthread_mutex_unlock(&list_lock);
    if (last)
        sock->free(sock);
}

static void list_socket(struct mif_v4_socket *sock)
{
    pthread_mutex_lock(&list_lock);
    sock->references = 1;
    sock->next = list;
    list = sock;
    pthread_mutex_unlock(&list_lock);
}

/* Takes the list's reference away. Of threads that delete a socket at the same time one finds it.
 */
static void unlist_socket(struct mif_v4_socket *sock)
{
    pthread_mutex_lock(&list_lock);
    struct mif_v4_socket **link = &list;
    while (*link != NULL && *link != sock)
        link = &(*link)->next;
    bool found = *link != NULL;
    if (found)
        *link = sock->next;
    pthread_mutex_unlock(&list_lock);
    if (found)
        mif_v4_socket_release(sock);
}

/* ---- begin and end ---- */

int64_t mif_v4_microseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* A path may fill its field without a terminating NUL; so may the name. */
struct mif_v4_socket *mif_v4_socket_new(const memif_socket_args_t *args, void *private_ctx)
{
    memif_alloc_t *alloc = args->alloc != NULL ? args->alloc : malloc;
    struct mif_v4_socket *sock = alloc(sizeof(*sock));
    if (sock == NULL)
        return NULL;
    *sock = (struct mif_v4_socket){
        .poller = MIF_POLLER_INIT,
        .private_ctx = private_ctx,
        .on_control_fd_update = args->on_control_fd_update,
        .free = args->free != NULL ? args->free : free,
    };
    sock->poller.allocator = (struct mif_allocator){.alloc = alloc, .free = sock->free};
    memcpy(sock->path, args->path, sizeof(args->path));
    memcpy(sock->app_name, args->app_name, sizeof(args->app_name));
    if (sock->path[0] == '\0')
        strcpy(sock->path, DEFAULT_PATH);
    if (sock->app_name[0] == '\0')
        strcpy(sock->app_name, MEMIF_DEFAULT_APP_NAME);
    return sock;
}

static int announce(struct mif_poller *poller, int fd, uint32_t events, void *context)
{
    struct mif_v4_socket *sock = (struct mif_v4_socket *)poller;
    memif_fd_event_t event = {
        .fd = fd, .type = (memif_fd_event_type_t)events, .private_ctx = context};
    return sock->on_control_fd_update(event, sock->private_ctx);
}

int mif_v4_socket_open(struct mif_v4_socket *sock, const struct itimerspec *timer)
{
    list_socket(sock);
    int err = mif_poller_open(&sock->poller, sock->on_control_fd_update == NULL ? NULL : announce,
                              mif_capi_control);
    if (err == MIF_ERR_SUCCESS) {
        err = mif_python_open(sock, mif_v4_microseconds(timer->it_value),
                              mif_v4_microseconds(timer->it_interval));
        if (err != MIF_ERR_SUCCESS)
            mif_poller_close(&sock->poller);
    }
    if (err != MIF_ERR_SUCCESS)
        unlist_socket(sock);
    return err;
}

void mif_v4_socket_close(struct mif_v4_socket *sock)
{
    mif_poller_close(&sock->poller);
    unlist_socket(sock);
}
