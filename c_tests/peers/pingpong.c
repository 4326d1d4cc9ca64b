/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of a game of ping-pong that stands still at a single lost wake-up: nothing but an
 * interrupt tells a side that a ball has come. A ball is a packet, or a burst of random length in
 * pieces. At random moments a side changes its receive queue from interrupts to polling, or back.
 *
 * A side that sees no progress for some seconds prints the state of the rings and eventfds and ends
 * with status 1.
 *
 * stdout gets the line "ready" when the interface is there (a master listens), and one line of JSON
 * at the end of the game. The connection stays up until stdin ends.
 */

#include "pingpong_link.h"
#include "random.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LONGEST_BURST = 1024,
    /* The places in a ring's memory, and the cookies that tell its version. */
    COOKIE_1 = 0x3E31F10,
    COOKIE_2 = 0x3E31F20,
    RING_HEADER = 128,
    FLAGS_AT = 4,
    HEAD_AT = 6,
    TAIL_AT = 64,
    DESCRIPTOR_1 = 32,
    DESCRIPTOR_2 = 16
};

static const char usage[] =
    "usage: pingpong -s SOCKET -r master|slave [-n ROUNDS] [-m PACKETS] [-x TURNS] [-d LOOPS]\n"
    "                [-w efd|callback] [-l LOG2-RING-SIZE] [-p SECONDS]\n"
    "  -n  default 200000\n"
    "  -m  the longest burst, 1024 at most; default 1\n"
    "  -x  once in so many waits the rx mode changes; default 0: never\n"
    "  -d  the longest delay before a piece of a burst, in empty loops; default 0\n"
    "  -w  what is waited for: the queue's eventfd (default), or on_interrupt, called on another\n"
    "      thread\n"
    "  -p  patience: how long nothing may happen; default 5\n";

static struct {
    struct link_options link;
    bool waits_for_callback;
    uint32_t rounds;
    uint32_t longest;
    uint32_t switch_every;
    uint32_t delay;
    uint32_t patience;
} options = {.link.log2_ring_size = 10, .rounds = 200000, .longest = 1, .patience = 5};

static struct {
    pthread_t player;
    bool is_started;
    int efd;
    atomic_bool is_playing;
    atomic_bool is_stopped;
    _Atomic uint32_t round;
    _Atomic uint32_t sent;
    _Atomic uint32_t received;
    _Atomic(const char *) doing;
    bool is_polling;
    uint32_t waits;
    uint32_t switches;
    uint64_t random;
} game = {.efd = -1, .doing = "nothing", .random = RANDOM_SEED};

/* What comes in: for the player, or for on_interrupt on another thread. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t came;
    uint32_t bursts; /* received, not all of them of balls */
    bool is_whole;   /* the last ball before our turn has come */
    uint64_t random;
} intake = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER, .random = RANDOM_SEED};

void fail(const char *format, ...)
{
    va_list arguments;

    fputs("pingpong: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    /* A player may wait for ever. */
    _exit(EXIT_FAILURE);
}

/* 1 to most */
static uint32_t at_random(uint64_t *state, uint32_t most)
{
    return 1 + random_below(state, most);
}

/* ---- what a stall looks like ---- */

static void print_ring(const char *name, const volatile uint8_t *ring)
{
    fprintf(stderr, "  %s: head %u, tail %u, flags %u\n", name,
            *(const volatile uint16_t *)(ring + HEAD_AT),
            *(const volatile uint16_t *)(ring + TAIL_AT),
            *(const volatile uint16_t *)(ring + FLAGS_AT));
}

/* A slave's region 0 begins with the two rings. */
static void print_rings_at(const volatile uint8_t *region, uint64_t size)
{
    uint32_t cookie = *(const volatile uint32_t *)region;
    uint64_t descriptor = cookie == COOKIE_1 ? DESCRIPTOR_1 : DESCRIPTOR_2;
    uint64_t log2 = options.link.log2_ring_size;

    print_ring("S2M", region);
    for (; log2 <= 14; log2++) { /* as master we know the size as little as the place */
        uint64_t at = RING_HEADER + (descriptor << log2);
        if (at + RING_HEADER <= size && *(const volatile uint32_t *)(region + at) == cookie) {
            print_ring("M2S", region + at);
            return;
        }
    }
}

static void print_rings(void)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t from = 0;
        uintptr_t to = 0;
        if (strstr(line, "memif region 0") != NULL &&
            sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2)
            print_rings_at((const volatile uint8_t *)from, to - from);
    }
    if (maps != NULL)
        fclose(maps);
}

static void print_eventfd(const char *fd)
{
    char line[256];
    unsigned long long count = 0;
    int id = -1;
    bool is_eventfd = false;

    snprintf(line, sizeof(line), "/proc/self/fdinfo/%s", fd);
    FILE *info = fopen(line, "re");
    while (info != NULL && fgets(line, sizeof(line), info) != NULL) {
        is_eventfd = sscanf(line, "eventfd-count: %llx", &count) == 1 || is_eventfd;
        (void)!sscanf(line, "eventfd-id: %d", &id);
    }
    if (info != NULL)
        fclose(info);
    if (is_eventfd)
        fprintf(stderr, "  fd %s%s: eventfd %d, count %llu\n", fd,
                atoi(fd) == game.efd ? " (ours to receive)" : "", id, count);
}

static void print_eventfds(void)
{
    struct dirent *entry;
    DIR *folder = opendir("/proc/self/fd");

    while (folder != NULL && (entry = readdir(folder)) != NULL)
        print_eventfd(entry->d_name);
    if (folder != NULL)
        closedir(folder);
}

static void print_state(void)
{
    fprintf(stderr, "%s: round %u of %u, %u sent, %u received, now: %s\n",
            options.link.is_master ? "master" : "slave", game.round, options.rounds, game.sent,
            game.received, game.doing);
    print_rings();
    print_eventfds();
}

/* Whoever polls is not at a standstill by himself, but his peer may be. */
static void *watch(void *argument)
{
    const struct timespec second = {.tv_sec = 1};
    uint32_t before = 0;
    uint32_t idle = 0;

    (void)argument;
    for (;;) {
        nanosleep(&second, NULL);
        uint32_t now = game.sent + game.received;
        idle = game.is_playing && now == before ? idle + 1 : 0;
        before = now;
        if (idle >= options.patience) {
            print_state();
            fail("no progress for %u s", options.patience);
        }
    }
}

/* ---- the game ---- */

static void pause_at_random(void)
{
    if (options.delay == 0)
        return;
    for (uint32_t left = at_random(&game.random, options.delay); left > 0; left--)
        atomic_signal_fence(memory_order_seq_cst);
}

static void switch_at_random(void)
{
    if (options.switch_every == 0 || at_random(&game.random, options.switch_every) > 1)
        return;
    game.is_polling = !game.is_polling;
    game.switches++;
    link_set_polling(game.is_polling);
}

static void send_burst(void)
{
    struct ball balls[LINK_BURST];
    uint32_t next = game.sent;
    uint32_t last =
        next + (at_random(&game.random, 2) == 1 ? 1 : at_random(&game.random, options.longest)) - 1;

    game.doing = "send";
    while (next <= last) {
        uint32_t most = last - next + 1 < LINK_BURST ? last - next + 1 : LINK_BURST;
        uint16_t count = (uint16_t)at_random(&game.random, most);
        for (uint16_t i = 0; i < count; i++)
            balls[i] = (struct ball){.number = next + i, .last = last};
        pause_at_random();
        uint16_t sent = link_send(balls, count);
        if (sent == 0)
            sched_yield(); /* room is not signalled */
        next += sent;
        game.sent = next;
    }
}

static bool check_balls(const struct ball *balls, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        if (balls[i].number != game.received)
            fail("packet %u instead of %u", balls[i].number, game.received);
        game.received++;
    }
    return count > 0 && balls[count - 1].number == balls[count - 1].last;
}

/* Receives one burst; the caller holds the lock. False when there was none. */
static bool take_balls(void)
{
    struct ball balls[LINK_BURST];
    uint32_t most = options.longest < LINK_BURST ? options.longest : LINK_BURST;
    uint16_t count = link_receive(balls, (uint16_t)at_random(&intake.random, most));

    intake.is_whole = check_balls(balls, count) || intake.is_whole;
    intake.bursts++;
    return count > 0;
}

static void take_balls_when_readable(void)
{
    struct pollfd ready = {.fd = game.efd, .events = POLLIN};

    if (poll(&ready, 1, -1) != 1 || ready.revents != POLLIN)
        fail("poll: events %#x", (unsigned int)ready.revents);
    pthread_mutex_lock(&intake.lock);
    take_balls();
    pthread_mutex_unlock(&intake.lock);
}

static void interrupted(void)
{
    pthread_mutex_lock(&intake.lock);
    take_balls();
    pthread_cond_signal(&intake.came);
    pthread_mutex_unlock(&intake.lock);
}

static void wait_until_interrupted(void)
{
    pthread_mutex_lock(&intake.lock);
    for (uint32_t before = intake.bursts; !intake.is_whole && intake.bursts == before;)
        pthread_cond_wait(&intake.came, &intake.lock);
    pthread_mutex_unlock(&intake.lock);
}

/* Waits without an end: only an interrupt leads on. */
static void wait_for_interrupt(void)
{
    game.doing = "wait for an interrupt";
    game.waits++;
    if (options.waits_for_callback)
        wait_until_interrupted();
    else
        take_balls_when_readable();
}

static void look_for_balls(void)
{
    game.doing = "poll";
    pthread_mutex_lock(&intake.lock);
    bool came = take_balls();
    pthread_mutex_unlock(&intake.lock);
    if (!came)
        sched_yield();
}

/* Our turn begins when the last ball has come. */
static bool is_our_turn(void)
{
    pthread_mutex_lock(&intake.lock);
    bool is_whole = intake.is_whole;
    intake.is_whole = false;
    pthread_mutex_unlock(&intake.lock);
    return is_whole;
}

static void receive_burst(void)
{
    do {
        switch_at_random();
        if (game.is_polling)
            look_for_balls();
        else
            wait_for_interrupt();
    } while (!is_our_turn());
}

static void report(void)
{
    printf("{\"rounds\": %u, \"sent\": %u, \"received\": %u, \"waits\": %u, \"switches\": %u}\n",
           game.round, game.sent, game.received, game.waits, game.switches);
    fflush(stdout);
}

static void *play(void *argument)
{
    (void)argument;
    for (game.round = 0; game.round < options.rounds; game.round++) {
        if (options.link.is_master)
            send_burst();
        receive_burst();
        if (!options.link.is_master)
            send_burst();
    }
    game.is_playing = false;
    report();
    return NULL;
}

static void connected(void)
{
    if (game.is_started)
        fail("connected once more");
    game.is_started = true;
    game.is_playing = true;
    game.efd = link_efd();
    if (pthread_create(&game.player, NULL, play, NULL) != 0)
        fail("pthread_create failed");
}

static void disconnected(void)
{
    if (game.is_playing) {
        print_state(); /* the peer may have seen a standstill */
        fail("disconnected before the end of the game");
    }
}

static void *wait_for_end_of_input(void *argument)
{
    char bytes[64];

    (void)argument;
    while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0)
        ;
    game.is_stopped = true;
    link_cancel();
    return NULL;
}

/* ---- options ---- */

static _Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "pingpong: %s %s\n%s", what, value, usage);
    exit(2);
}

static uint32_t number(const char *text, uint32_t least, uint32_t most)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value < least || value > most)
        refuse("not a number that can be:", text);
    return (uint32_t)value;
}

static bool is_choice(const char *text, const char *yes, const char *no)
{
    bool is_yes = strcmp(text, yes) == 0;

    if (!is_yes && strcmp(text, no) != 0)
        refuse("not a choice:", text);
    return is_yes;
}

static void take_option(int option, char *value)
{
    switch (option) {
    case 's':
        options.link.socket = value;
        break;
    case 'r':
        options.link.is_master = is_choice(value, "master", "slave");
        break;
    case 'l':
        options.link.log2_ring_size = (uint8_t)number(value, 1, 14);
        break;
    case 'n':
        options.rounds = number(value, 1, UINT32_MAX);
        break;
    case 'm':
        options.longest = number(value, 1, LONGEST_BURST);
        break;
    case 'x':
        options.switch_every = number(value, 0, UINT32_MAX);
        break;
    case 'd':
        options.delay = number(value, 0, UINT32_MAX);
        break;
    case 'p':
        options.patience = number(value, 1, UINT32_MAX);
        break;
    case 'w':
        options.waits_for_callback = is_choice(value, "callback", "efd");
        break;
    default:
        refuse("no such option, or it", "lacks its value");
    }
}

static void take_options(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "s:r:l:n:m:x:d:p:w:")) != -1)
        take_option(option, optarg);
    if (optind != argc)
        refuse("not an option:", argv[optind]);
    if (options.link.socket == NULL)
        refuse("missing:", "-s");
}

int main(int argc, char **argv)
{
    pthread_t watchdog;
    pthread_t input;

    take_options(argc, argv);
    game.random += (uint64_t)getpid() << 32;
    intake.random = game.random + 1;
    link_open(&options.link, &(struct link_events){
                                 .connected = connected,
                                 .disconnected = disconnected,
                                 .interrupted = options.waits_for_callback ? interrupted : NULL,
                             });
    if (pthread_create(&watchdog, NULL, watch, NULL) != 0 ||
        pthread_create(&input, NULL, wait_for_end_of_input, NULL) != 0)
        fail("pthread_create failed");
    pthread_detach(watchdog); /* it ends with the program */
    puts("ready");
    fflush(stdout);
    while (!game.is_stopped)
        link_poll();
    if (game.is_playing || !game.is_started)
        fail("stopped before the end of the game");
    pthread_join(game.player, NULL);
    pthread_join(input, NULL);
    link_close();
    return EXIT_SUCCESS;
}
