/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_calls_FACE s2m|m2s BURST: 1024 packets of protocol 512 go through the four calls, in bursts,
 * both ends in this thread and without a control plane. It measures nothing: emulated.py counts the
 * instructions in an emulator, where to start an interpreter would take longer than all else.
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

enum { LOG2_SLOTS = 10, PACKETS = 1 << LOG2_SLOTS, BUFFER = 2048, SIZE = 64 };
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

static void set_length(memif_buffer_t *buf)
{
#ifdef CORE_CALLS_ENTRY_FACE
    buf->len = SIZE;
#else
    buf->data_len = SIZE;
#endif
}

static void exchange(void *from, void *to, uint16_t burst)
{
    static memif_buffer_t sent[PACKETS], received[PACKETS];
    uint16_t n = 0;
    (void)mif_call(from, 0, MIF_TX, MIF_CALL_RESERVE, SIZE, sent, burst, &n);
    check("alloc", n == burst);
    for (uint16_t i = 0; i < n; i++)
        set_length(&sent[i]);
    (void)mif_call(from, 0, MIF_TX, MIF_CALL_TX, 0, sent, burst, &n);
    check("tx", n == burst);
    (void)mif_call(to, 0, MIF_RX, MIF_CALL_RX, 0, received, burst, &n);
    check("rx", n == burst);
    int err = mif_call(to, 0, MIF_RX, MIF_CALL_GIVE_BACK, 0, received, burst, &n);
    check("free", err == MIF_FACE_ERROR(MIF_ERR_SUCCESS));
}

int main(int argc, char **argv)
{
    check("the command line", argc == 3);
    bool s2m = strcmp(argv[1], "s2m") == 0;
    uint16_t burst = (uint16_t)atoi(argv[2]);
    check("the size of bursts", burst > 0 && PACKETS % burst == 0);
    int memory = memfd_create("core_calls", MFD_CLOEXEC);
    const int efds[2] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)};
    check("memory", memory >= 0 && ftruncate(memory, REGION) == 0);
    check("the core", mif_data_path_init() == MIF_ERR_SUCCESS);
    void *slave = open_end(true, memory, efds), *master = open_end(false, memory, efds);
    for (uint32_t sent = 0; sent < PACKETS; sent += burst)
        exchange(s2m ? slave : master, s2m ? master : slave, burst);
    return EXIT_SUCCESS;
}
