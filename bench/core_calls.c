/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_calls_FACE s2m|m2s BURST [SIZE]: 1024 packets of protocol 512, of 64 bytes unless told, go
 * through the four calls, in bursts, both ends in this thread and without a control plane. It
 * measures nothing: emulated.py counts the instructions in an emulator, where to start an
 * interpreter would take longer than all else, and a test those of long packets.
 */
#include "core/connection.h"
#include "core/queue.h"
#include "core/setup.h"

#ifdef CORE_CALLS_ENTRY_FACE
#include "datapath/entry.h"
#else
#include "datapath/packet.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOG2_SLOTS = 10, PACKETS = 1 << LOG2_SLOTS, BUFFER = 2048 };
enum { M2S_RING = 1 << 16, BUFFERS = 1 << 20, REGION = 1 << 23 };

static void check(const char *what, bool good)
{
    if (good)
        return;
    (void)fprintf(stderr, "core_calls: %s failed\n", what);
    exit(EXIT_FAILURE);
}

static void add_queue(void *handle, bool is_slave, bool s2m, int efd)
{
    const struct mif_queue_config config = {
        .version = MIF_VERSION_512,
        .is_slave = is_slave,
        .is_tx = s2m == is_slave,
        .offset = s2m ? 0 : M2S_RING,
        .log2_ring_size = LOG2_SLOTS,
        .efd = efd,
        .buffer_offset = BUFFERS + (s2m ? 0 : BUFFER << LOG2_SLOTS),
        .post_at_start = 1,
        .buffer_size = BUFFER,
    };
    check("a queue", mif_connection_add_queue(handle, &config) == MIF_ERR_SUCCESS);
}

/* The slave comes first, because it writes the rings. */
static void *open_end(bool is_slave, int memory, const int efds[2])
{
    void *handle = NULL;
    bool good = mif_connection_open(&handle, NULL, NULL, NULL) == MIF_ERR_SUCCESS &&
                mif_connection_map(handle, 0, memory, REGION) == MIF_ERR_SUCCESS;
    check("a connection", good);
    add_queue(handle, is_slave, true, efds[0]);
    add_queue(handle, is_slave, false, efds[1]);
    check("a start", mif_connection_up(handle, -1) == MIF_ERR_SUCCESS &&
                         mif_queue_set_polling(handle, 0, true) == MIF_ERR_SUCCESS);
    return handle;
}

#ifdef CORE_CALLS_ENTRY_FACE
static uint16_t entries_of(uint16_t packets, uint32_t size)
{
    return (uint16_t)(packets * ((size + BUFFER - 1) / BUFFER));
}

/* Those of a packet of several have their lengths from the start. */
static void set_length(memif_buffer_t *buf, uint32_t size)
{
    if (size <= BUFFER)
        buf->len = size;
}
#else
static uint16_t entries_of(uint16_t packets, uint32_t size)
{
    (void)size;
    return packets;
}

static void set_length(memif_buffer_t *buf, uint32_t size)
{
    buf->data_len = size;
}
#endif

/* A function of its own, by which callgrind knows what to count. */
static __attribute__((noinline)) void exchange(void *from, void *to, uint16_t burst, uint32_t size)
{
    static memif_buffer_t sent[PACKETS], received[PACKETS];
    const uint16_t entries = entries_of(burst, size);
    uint16_t n = 0;
    (void)mif_call(from, 0, MIF_TX, MIF_CALL_RESERVE, size, sent, burst, &n);
    check("alloc", n == entries);
    for (uint16_t i = 0; i < n; i++)
        set_length(&sent[i], size);
    (void)mif_call(from, 0, MIF_TX, MIF_CALL_TX, 0, sent, entries, &n);
    check("tx", n == entries);
    (void)mif_call(to, 0, MIF_RX, MIF_CALL_RX, 0, received, entries, &n);
    check("rx", n == entries);
    int err = mif_call(to, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, received, entries, &n);
    check("free", err == MIF_FACE_ERROR(MIF_ERR_SUCCESS));
}

int main(int argc, char **argv)
{
    check("the command line", argc == 3 || argc == 4);
    bool s2m = strcmp(argv[1], "s2m") == 0;
    uint16_t burst = (uint16_t)atoi(argv[2]);
    uint32_t size = argc == 4 ? (uint32_t)atoi(argv[3]) : 64;
    check("the size of bursts", burst > 0 && PACKETS % burst == 0);
    check("the size of packets", size > 0 && burst * ((size + BUFFER - 1) / BUFFER) <= PACKETS);
    int memory = memfd_create("core_calls", MFD_CLOEXEC);
    const int efds[2] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)};
    check("memory", memory >= 0 && ftruncate(memory, REGION) == 0);
    check("the core", mif_data_path_init() == MIF_ERR_SUCCESS);
    void *slave = open_end(true, memory, efds), *master = open_end(false, memory, efds);
    for (uint32_t sent = 0; sent < PACKETS; sent += burst)
        exchange(s2m ? slave : master, s2m ? master : slave, burst, size);
    return EXIT_SUCCESS;
}
