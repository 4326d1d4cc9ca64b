/* SPDX-License-Identifier: Apache-2.0 */

#include "pair_v1.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- polling ---- */

struct fd_log fd_log;
static enum polling polling_style;
static int epoll_fd = -1;

static void note_violation(const char *rule)
{
    if (fd_log.violation == NULL)
        fd_log.violation = rule;
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        fd_log.watched++;
    else
        note_violation("a descriptor is announced once, and open");
}

static void unwatch(int fd)
{
    if (fcntl(fd, F_GETFD) == -1)
        note_violation("a descriptor is open when its end is announced");
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL) == 0)
        fd_log.watched--;
    else
        note_violation("only what was announced is taken back");
}

static int on_control_fd_update(int fd, uint8_t events)
{
    if (fd_log.count == FD_LOG_SIZE) {
        note_violation("the log of the test is long enough");
        return -1;
    }
    fd_log.events[fd_log.count++] = (struct fd_event){.fd = fd, .events = events};
    if (fd_log.count == fd_log.refused)
        return -1;
    if (events == MEMIF_FD_EVENT_READ)
        watch(fd);
    else if (events == MEMIF_FD_EVENT_DEL)
        unwatch(fd);
    else
        note_violation("events are READ or DEL");
    if (fd_log.hook != NULL)
        fd_log.hook();
    return 0;
}

static void close_epoll(void)
{
    if (epoll_fd >= 0)
        (void)close(epoll_fd);
    epoll_fd = -1;
}

int try_to_start(enum polling polling, int version)
{
    restrict_protocol(version);
    polling_style = polling;
    fd_log = (struct fd_log){.refused = fd_log.refused};
    close_epoll();
    if (polling == LIBRARY_POLLS)
        return memif_init(NULL, NULL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ck_assert_int_ge(epoll_fd, 0);
    int err = memif_init(on_control_fd_update, NULL);
    if (err != MEMIF_ERR_SUCCESS)
        close_epoll();
    return err;
}

void start(enum polling polling, int version)
{
    fd_log.refused = 0;
    ck_assert_int_eq(try_to_start(polling, version), MEMIF_ERR_SUCCESS);
}

static void check_rules(void)
{
    ck_assert_msg(fd_log.violation == NULL, "broken: %s", fd_log.violation);
}

void stop(void)
{
    ck_assert_int_eq(memif_cleanup(), MEMIF_ERR_SUCCESS);
    check_rules();
    ck_assert_uint_eq(fd_log.watched, 0);
    close_epoll();
}

int turn(int timeout)
{
    struct epoll_event event;

    if (polling_style == LIBRARY_POLLS)
        return memif_poll_event(timeout);
    int ready = epoll_wait(epoll_fd, &event, 1, timeout);
    ck_assert_int_ge(ready, 0);
    if (ready == 0)
        return MEMIF_ERR_SUCCESS;
    int err = memif_control_fd_handler(event.data.fd, memif_events(event.events));
    check_rules();
    return err;
}

/* ---- one end ---- */

int end_create_at(struct end *end, const char *path)
{
    /* From the heap, just as long as the call: the library must keep a copy of its own. */
    memif_conn_args_t args = end->args;
    char *copy = strdup(path);

    ck_assert_ptr_nonnull(copy);
    args.socket_filename = (uint8_t *)copy;
    int err = end_create_with(end, &args);
    free(copy);
    return err;
}

int end_create(struct end *end, const char *name)
{
    path_in_folder(end->path, name);
    return end_create_at(end, end->path);
}

/* ---- a pair ---- */

void pair_connect(struct pair *pair, const struct shape *shape, const char *name)
{
    shape_end(&pair->master, shape, true);
    shape_end(&pair->slave, shape, false);
    ck_assert_int_eq(end_create(&pair->master, name), MEMIF_ERR_SUCCESS);
    ck_assert_int_eq(end_create(&pair->slave, name), MEMIF_ERR_SUCCESS);
    RUN_UNTIL(end_is_up(&pair->master) && end_is_up(&pair->slave));
}

void pair_open(struct pair *pair, const struct shape *shape)
{
    start(shape->polling, shape->version);
    pair_connect(pair, shape, "pair.sock");
}

void pair_delete(struct pair *pair)
{
    end_delete(&pair->slave);
    end_delete(&pair->master);
}

void pair_close(struct pair *pair)
{
    pair_delete(pair);
    stop();
}

struct flow flow_of(const struct pair *pair, const struct shape *shape, int i)
{
    return flow_between(&pair->master, &pair->slave, shape, i);
}

/* ---- packets ---- */

void write_pattern(void *data, size_t length, uint32_t seed)
{
    memcpy(data, pattern_of(seed), length);
}

bool holds_pattern(const void *data, size_t length, uint32_t seed)
{
    return memcmp(data, pattern_of(seed), length) == 0;
}

static memif_buffer_t burst[MAX_BURST];

void send_packets(memif_conn_handle_t from, uint16_t qid, uint16_t count, uint32_t length,
                  uint32_t first_seed)
{
    uint16_t done;

    ck_assert_int_eq(memif_buffer_alloc(from, qid, burst, count, &done, (uint16_t)length),
                     MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, count);
    for (uint16_t i = 0; i < count; i++) {
        if (burst[i].buffer_len < length)
            ck_abort_msg("packet %u of %u has room for %u bytes", i, count, burst[i].buffer_len);
        write_pattern(burst[i].data, length, first_seed + i);
        burst[i].data_len = length;
    }
    ck_assert_int_eq(memif_tx_burst(from, qid, burst, count, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, count);
}

void expect_packets(memif_conn_handle_t to, uint16_t qid, uint16_t count, uint32_t length,
                    uint32_t first_seed)
{
    uint16_t done;

    ck_assert_int_eq(memif_rx_burst(to, qid, burst, MAX_BURST, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, count);
    for (uint16_t i = 0; i < count; i++) {
        /* A check that passes costs as much as a packet: it is left out. */
        if (burst[i].data_len != length)
            ck_abort_msg("packet %u of %u has %u bytes", i, count, burst[i].data_len);
        if (!holds_pattern(burst[i].data, length, first_seed + i))
            ck_abort_msg("packet %u of %u, seed %u, has other contents", i, count, first_seed + i);
    }
    ck_assert_int_eq(memif_buffer_free(to, qid, burst, count, &done), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(done, count);
}

int queue_efd(memif_conn_handle_t conn, uint16_t qid)
{
    int fd;

    ck_assert_int_eq(memif_get_queue_efd(conn, qid, &fd), MEMIF_ERR_SUCCESS);
    return fd;
}
