/* SPDX-License-Identifier: Apache-2.0 */

#include "pair_v1.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DEADLINE_SECONDS = 40 };

/* ---- folder ---- */

static char folder[PATH_SIZE];
static pid_t folder_owner;

static void remove_folder(void)
{
    if (getpid() != folder_owner)
        return; /* a child of the test */
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(folder);
}

static void make_folder(void)
{
    const char *parent = getenv("TMPDIR");

    (void)snprintf(folder, sizeof(folder), "%s/pair.XXXXXX", parent == NULL ? "/tmp" : parent);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    folder_owner = getpid();
    ck_assert_int_eq(atexit(remove_folder), 0);
}

void path_in_folder(char path[PATH_SIZE], const char *name)
{
    if (folder_owner != getpid())
        make_folder();
    int length = snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    ck_assert_int_lt(length, PATH_SIZE);
}

static size_t entries_of(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        count++;
    ck_assert_int_eq(closedir(dir), 0);
    return count - 2; /* . and .. */
}

size_t files_in_folder(void)
{
    return entries_of(folder);
}

/* ---- the process ---- */

size_t open_fds(void)
{
    return entries_of("/proc/self/fd") - 1; /* the one that reads them */
}

size_t shared_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    size_t count = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, "/memfd:") != NULL)
            count++;
    }
    ck_assert_int_eq(fclose(maps), 0);
    return count;
}

size_t address_space_bytes(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    size_t pages;

    ck_assert_ptr_nonnull(statm);
    ck_assert_int_eq(fscanf(statm, "%zu", &pages), 1);
    ck_assert_int_eq(fclose(statm), 0);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

void raise_fd_limit(void)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

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

static void restrict_protocol(int version)
{
    char text[8];

    (void)snprintf(text, sizeof(text), "%d", version);
    if (version == ANY_VERSION)
        ck_assert_int_eq(unsetenv("LIBMEMIF_PROTOCOL"), 0);
    else
        ck_assert_int_eq(setenv("LIBMEMIF_PROTOCOL", text, 1), 0);
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

static uint8_t from_epoll(uint32_t events)
{
    uint8_t bits = 0;

    if (events & EPOLLIN)
        bits |= MEMIF_FD_EVENT_READ;
    if (events & (EPOLLERR | EPOLLHUP))
        bits |= MEMIF_FD_EVENT_ERROR;
    return bits;
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
    int err = memif_control_fd_handler(event.data.fd, from_epoll(event.events));
    check_rules();
    return err;
}

struct timespec deadline_from_now(void)
{
    struct timespec when;

    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &when), 0);
    when.tv_sec += DEADLINE_SECONDS;
    return when;
}

bool is_past(const struct timespec *deadline)
{
    struct timespec now;

    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return now.tv_sec > deadline->tv_sec ||
           (now.tv_sec == deadline->tv_sec && now.tv_nsec > deadline->tv_nsec);
}

/* ---- one end ---- */

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;

    (void)conn;
    end->connects++;
    if (end->at_connect != NULL)
        end->at_connect(end);
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;

    (void)conn;
    end->disconnects++;
    if (end->at_disconnect != NULL)
        end->at_disconnect(end);
    return 0;
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct end *end = private_ctx;

    (void)conn;
    end->interrupts++;
    end->at_interrupt(end, qid);
    return 0;
}

void count_interrupt(struct end *end, uint16_t qid)
{
    (void)end;
    (void)qid;
}

int end_create_at(struct end *end, const char *path)
{
    /* From the heap, just as long as the call: the library must keep a copy of its own. */
    memif_conn_args_t args = end->args;
    char *copy = strdup(path);

    ck_assert_ptr_nonnull(copy);
    args.socket_filename = (uint8_t *)copy;
    int err = memif_create(&end->conn, &args, on_connect, on_disconnect,
                           end->at_interrupt == NULL ? NULL : on_interrupt, end);
    free(copy);
    memset(&args, 0xff, sizeof(args));
    return err;
}

int end_create(struct end *end, const char *name)
{
    path_in_folder(end->path, name);
    return end_create_at(end, end->path);
}

void end_delete(struct end *end)
{
    ck_assert_int_eq(memif_delete(&end->conn), MEMIF_ERR_SUCCESS);
    ck_assert_ptr_null(end->conn);
}

/* ---- a pair ---- */

static void apply(struct end *end, const struct shape *shape, bool is_master)
{
    end->args.is_master = is_master;
    end->args.num_s2m_rings = shape->s2m_rings;
    end->args.num_m2s_rings = shape->m2s_rings;
    end->args.log2_ring_size = shape->log2_ring_size;
    end->args.buffer_size = shape->buffer_size;
}

void pair_connect(struct pair *pair, const struct shape *shape, const char *name)
{
    apply(&pair->master, shape, true);
    apply(&pair->slave, shape, false);
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

uint32_t ring_capacity(int version, uint8_t log2_ring_size)
{
    uint32_t slots = 1u << (log2_ring_size == 0 ? 10 : log2_ring_size);

    return version == 256 ? slots - 1 : slots;
}

struct flow flow_of(const struct pair *pair, const struct shape *shape, int i)
{
    bool from_master = i / VERSIONS % 2 == 1;

    return (struct flow){
        .from = from_master ? pair->master.conn : pair->slave.conn,
        .to = from_master ? pair->slave.conn : pair->master.conn,
        .capacity = ring_capacity(shape->version, shape->log2_ring_size),
    };
}

/* ---- packets ---- */

enum { PATTERN_STARTS = 65536, PATTERN_LENGTH = 65536 };
static uint8_t pattern[PATTERN_STARTS + PATTERN_LENGTH];

static void make_pattern(void)
{
    uint64_t state = 0x9E3779B97F4A7C15u;

    for (size_t i = 0; i < sizeof(pattern); i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (uint8_t)(state >> 24);
    }
}

static const uint8_t *pattern_of(uint32_t seed)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, make_pattern);
    return pattern + seed * 40503u % PATTERN_STARTS;
}

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

bool is_readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int ready = poll(&poller, 1, 0);

    ck_assert_int_ge(ready, 0);
    return ready == 1;
}

int queue_efd(memif_conn_handle_t conn, uint16_t qid)
{
    int fd;

    ck_assert_int_eq(memif_get_queue_efd(conn, qid, &fd), MEMIF_ERR_SUCCESS);
    return fd;
}
