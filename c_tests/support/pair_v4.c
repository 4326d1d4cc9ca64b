/* SPDX-License-Identifier: Apache-2.0 */

#include "pair_v4.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* All that are open, for turn(). */
static struct control *controls;

/* ---- the application's part of polling ---- */

static void note_violation(struct fd_log *log, const char *rule)
{
    if (log->violation == NULL)
        log->violation = rule;
}

static void watch(struct control *control, const memif_fd_event_t *event)
{
    struct epoll_event how = {.events = EPOLLIN, .data.ptr = event->private_ctx};

    if (event->private_ctx == NULL)
        note_violation(&control->log, "a descriptor comes with a context");
    if (epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, event->fd, &how) == 0)
        control->log.watched++;
    else
        note_violation(&control->log, "a descriptor is announced once, and open");
}

static const memif_fd_event_t *announcement_of(const struct fd_log *log, int fd)
{
    for (size_t i = log->count; i-- > 0;) {
        if (log->events[i].fd == fd && log->events[i].type == MEMIF_FD_EVENT_READ)
            return &log->events[i];
    }
    return NULL;
}

static void unwatch(struct control *control, const memif_fd_event_t *event)
{
    const memif_fd_event_t *announced = announcement_of(&control->log, event->fd);

    if (announced == NULL || announced->private_ctx != event->private_ctx)
        note_violation(&control->log, "a descriptor is taken back with its context");
    if (fcntl(event->fd, F_GETFD) == -1)
        note_violation(&control->log, "a descriptor is open when its end is announced");
    else if (epoll_ctl(control->epoll_fd, EPOLL_CTL_DEL, event->fd, NULL) == 0)
        control->log.watched--;
    else
        note_violation(&control->log, "only what was announced is taken back");
}

static int on_control_fd_update(memif_fd_event_t event, void *private_ctx)
{
    struct control *control = private_ctx;
    struct fd_log *log = &control->log;

    if (log->count == FD_LOG_SIZE) {
        note_violation(log, "the log of the test is long enough");
        return -1;
    }
    log->events[log->count++] = event;
    if (log->count == log->refused)
        return -1;
    if (event.type == MEMIF_FD_EVENT_READ)
        watch(control, &event);
    else if (event.type == MEMIF_FD_EVENT_DEL)
        unwatch(control, &event);
    else
        note_violation(log, "events are READ or DEL");
    if (control->at_fd_event != NULL)
        control->at_fd_event(control);
    return 0;
}

/* ---- control sockets ---- */

static void link_control(struct control *control)
{
    control->next = controls;
    controls = control;
}

static void unlink_control(const struct control *control)
{
    struct control **link = &controls;

    while (*link != control)
        link = &(*link)->next;
    *link = control->next;
}

int control_open_at(struct control *control, const char *path)
{
    memif_socket_args_t args = control->args;

    memcpy(args.path, path, strnlen(path, sizeof(args.path)));
    (void)snprintf(control->path, sizeof(control->path), "%s", path);
    control->log = (struct fd_log){.refused = control->log.refused};
    control->epoll_fd = -1;
    if (control->polling == APPLICATION_POLLS) {
        control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        ck_assert_int_ge(control->epoll_fd, 0);
        args.on_control_fd_update = on_control_fd_update;
    }
    int err = memif_create_socket(&control->handle, &args, control);
    memset(&args, 0xff, sizeof(args)); /* the library must keep a copy of its own */
    if (err == MEMIF_ERR_SUCCESS)
        link_control(control);
    else if (control->epoll_fd >= 0)
        (void)close(control->epoll_fd);
    return err;
}

int control_open(struct control *control, const char *name)
{
    char path[PATH_SIZE];

    path_in_folder(path, name);
    return control_open_at(control, path);
}

void control_must_open(struct control *control, const char *name)
{
    ck_assert_int_eq(control_open(control, name), MEMIF_ERR_SUCCESS);
}

static void check_rules(const struct control *control)
{
    ck_assert_msg(control->log.violation == NULL, "broken: %s", control->log.violation);
}

void control_forget(struct control *control)
{
    ck_assert_ptr_null(control->handle);
    unlink_control(control);
    check_rules(control);
    ck_assert_uint_eq(control->log.watched, 0);
    if (control->epoll_fd >= 0)
        (void)close(control->epoll_fd);
}

void control_close(struct control *control)
{
    ck_assert_int_eq(memif_delete_socket(&control->handle), MEMIF_ERR_SUCCESS);
    control_forget(control);
}

void start_library(void)
{
    struct control control = {0};

    control_must_open(&control, "first.sock");
    control_close(&control);
}

int control_turn(struct control *control, int timeout)
{
    struct epoll_event event;

    if (control->polling == LIBRARY_POLLS)
        return memif_poll_event(control->handle, timeout);
    int ready = epoll_wait(control->epoll_fd, &event, 1, timeout);
    ck_assert_int_ge(ready, 0);
    if (ready == 0)
        return MEMIF_ERR_SUCCESS;
    int err =
        memif_control_fd_handler(event.data.ptr, (memif_fd_event_type_t)memif_events(event.events));
    check_rules(control);
    return err;
}

int turn(void)
{
    int failure = MEMIF_ERR_SUCCESS;

    for (struct control *control = controls; control != NULL; control = control->next) {
        int err = control_turn(control, 1);
        if (failure == MEMIF_ERR_SUCCESS)
            failure = err;
    }
    return failure;
}

void expect_fd_log(const struct control *control, const char *expected)
{
    char text[64] = "", letters[1024] = {0};
    char next = 'a';
    size_t used = 0;

    ck_assert_uint_gt(sizeof(text), 2 * control->log.count);
    for (size_t i = 0; i < control->log.count; i++) {
        const memif_fd_event_t *event = &control->log.events[i];
        bool gone = event->type == MEMIF_FD_EVENT_DEL;

        ck_assert_int_lt(event->fd, (int)sizeof(letters));
        if (!gone)
            letters[event->fd] = next++;
        text[used++] = gone ? '-' : '+';
        text[used++] = letters[event->fd];
    }
    ck_assert_str_eq(text, expected);
}

/* ---- one end ---- */

int end_create(struct end *end, const struct control *control)
{
    memif_conn_args_t args = end->args;

    args.socket = control->handle;
    return end_create_with(end, &args);
}

void end_must_create(struct end *end, const struct control *control)
{
    ck_assert_int_eq(end_create(end, control), MEMIF_ERR_SUCCESS);
}

/* ---- a pair ---- */

static void fill_receive_queues(const struct pair *pair, const struct shape *shape)
{
    uint16_t queues = shape->m2s_rings == 0 ? 1 : shape->m2s_rings;

    for (uint16_t qid = 0; qid < queues; qid++)
        ck_assert_int_eq(memif_refill_queue(pair->slave.conn, qid, UINT16_MAX, shape->headroom),
                         MEMIF_ERR_SUCCESS);
}

void pair_open_sockets(struct pair *pair, const struct shape *shape)
{
    restrict_protocol(shape->version);
    pair->master_control.polling = pair->slave_control.polling = shape->polling;
    control_must_open(&pair->master_control, "pair.sock");
    control_must_open(&pair->slave_control, "pair.sock");
}

void pair_connect(struct pair *pair, const struct shape *shape)
{
    shape_end(&pair->master, shape, true);
    shape_end(&pair->slave, shape, false);
    end_must_create(&pair->master, &pair->master_control);
    end_must_create(&pair->slave, &pair->slave_control);
    RUN_UNTIL(end_is_up(&pair->master) && end_is_up(&pair->slave));
    if (!shape->unfilled)
        fill_receive_queues(pair, shape);
}

void pair_open(struct pair *pair, const struct shape *shape)
{
    pair_open_sockets(pair, shape);
    pair_connect(pair, shape);
}

void pair_open_with_interrupts(struct pair *pair)
{
    struct shape shape = {.polling = APPLICATION_POLLS, .log2_ring_size = 2, .buffer_size = 64};

    pair->master.at_interrupt = pair->slave.at_interrupt = count_interrupt;
    pair_open(pair, &shape);
}

void pair_close(struct pair *pair)
{
    end_delete(&pair->slave);
    end_delete(&pair->master);
    control_close(&pair->slave_control);
    control_close(&pair->master_control);
}

struct flow flow_of(const struct pair *pair, const struct shape *shape, int i)
{
    return flow_between(&pair->master, &pair->slave, shape, i);
}

/* ---- packets ---- */

memif_buffer_t buffers[MOST_ENTRIES];
memif_buffer_t others[MOST_ENTRIES];

void fill_packet(memif_buffer_t *bufs, uint16_t entries, uint32_t length, uint32_t seed)
{
    const uint8_t *contents = pattern_of(seed);

    for (uint16_t i = 0; i < entries; i++) {
        if (bufs[i].len > length)
            bufs[i].len = length;
        memcpy(bufs[i].data, contents, bufs[i].len);
        contents += bufs[i].len;
        length -= bufs[i].len;
    }
    ck_assert_uint_eq(length, 0);
}

uint16_t entries_of_packet(const memif_buffer_t *bufs, uint16_t count)
{
    uint16_t entries = 0;

    while (entries < count && (bufs[entries].flags & MEMIF_BUFFER_FLAG_NEXT) != 0)
        entries++;
    return (uint16_t)(entries < count ? entries + 1 : entries);
}

bool is_packet(const memif_buffer_t *bufs, uint16_t entries, uint32_t length, uint32_t seed)
{
    const uint8_t *contents = pattern_of(seed);

    for (uint16_t i = 0; i < entries; i++) {
        bool goes_on = (bufs[i].flags & MEMIF_BUFFER_FLAG_NEXT) != 0;
        if (goes_on != (i + 1 < entries) || bufs[i].len > length ||
            memcmp(bufs[i].data, contents, bufs[i].len) != 0)
            return false;
        contents += bufs[i].len;
        length -= bufs[i].len;
    }
    return length == 0;
}

uint16_t reserve_packets(memif_conn_handle_t from, uint16_t qid, memif_buffer_t *bufs,
                         uint16_t count, uint32_t length, uint32_t first_seed)
{
    uint16_t entries, used = 0;

    ck_assert_int_eq(memif_buffer_alloc(from, qid, bufs, count, &entries, (uint16_t)length),
                     MEMIF_ERR_SUCCESS);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t n = entries_of_packet(bufs + used, (uint16_t)(entries - used));
        fill_packet(bufs + used, n, length, first_seed + i);
        used = (uint16_t)(used + n);
    }
    ck_assert_uint_eq(used, entries);
    return entries;
}

void send_packets(memif_conn_handle_t from, uint16_t qid, uint16_t count, uint32_t length,
                  uint32_t first_seed)
{
    static _Thread_local memif_buffer_t bufs[MOST_ENTRIES];
    uint16_t entries = reserve_packets(from, qid, bufs, count, length, first_seed);
    uint16_t sent;

    ck_assert_int_eq(memif_tx_burst(from, qid, bufs, entries, &sent), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(sent, entries);
}

uint16_t receive_packets(memif_conn_handle_t to, uint16_t qid, memif_buffer_t *bufs, uint16_t count,
                         uint32_t length, uint32_t first_seed)
{
    uint16_t entries, used = 0;

    ck_assert_int_eq(memif_rx_burst(to, qid, bufs, MOST_ENTRIES, &entries), MEMIF_ERR_SUCCESS);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t n = entries_of_packet(bufs + used, (uint16_t)(entries - used));
        ck_assert_uint_gt(n, 0);
        ck_assert_msg(is_packet(bufs + used, n, length, first_seed + i), "packet %u", i);
        used = (uint16_t)(used + n);
    }
    ck_assert_uint_eq(used, entries);
    return entries;
}

void expect_packets(memif_conn_handle_t to, uint16_t qid, uint16_t count, uint32_t length,
                    uint32_t first_seed)
{
    static _Thread_local memif_buffer_t bufs[MOST_ENTRIES];
    uint16_t entries = receive_packets(to, qid, bufs, count, length, first_seed);

    ck_assert_int_eq(memif_refill_queue(to, qid, entries, 0), MEMIF_ERR_SUCCESS);
}

void expect_nothing(memif_conn_handle_t to, uint16_t qid)
{
    memif_buffer_t buf;
    uint16_t entries = 1;

    ck_assert_int_eq(memif_rx_burst(to, qid, &buf, 1, &entries), MEMIF_ERR_SUCCESS);
    ck_assert_uint_eq(entries, 0);
}
