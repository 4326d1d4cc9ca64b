/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifecycle_v1 SOCKET [leak]: everything that takes and gives back memory. A master and a slave of
 * this process connect, exchange packets of one and of several buffers in both directions until the
 * rings have wrapped, disconnect, connect again and are left to memif_cleanup; all of it twice.
 * With "leak" the program itself loses a block at the end.
 */
#include "end_v1.h"
#include "lifecycle.h"

#include <libmemif.h>
#include <stdlib.h>

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct end *end = private_ctx;
    memif_buffer_t bufs[3];
    uint16_t count, freed;
    int err = memif_rx_burst(conn, qid, bufs, 3, &count);
    must(err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF, "receive");
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *data = bufs[i].data;
        must(bufs[i].data_len == size_of(end->received), "size");
        for (uint32_t offset = 0; offset < bufs[i].data_len; offset++)
            must(data[offset] == byte_of(end->received, offset), "content");
        end->received++;
    }
    must(memif_buffer_free(conn, qid, bufs, count, &freed) == MEMIF_ERR_SUCCESS, "free");
    return 0;
}

static void create(struct end *end, char *socket_path, uint8_t is_master)
{
    memif_conn_args_t args = {
        .socket_filename = (uint8_t *)socket_path,
        .secret = "a secret",
        .buffer_size = BUFFER_SIZE,
        .log2_ring_size = LOG2_RING_SIZE,
        .num_s2m_rings = 2,
        .num_m2s_rings = 2,
        .is_master = is_master,
        .interface_id = 9,
        .interface_name = "lifecycle",
    };
    int err = memif_create(&end->conn, &args, on_connect, on_disconnect, on_interrupt, end);
    must(err == MEMIF_ERR_SUCCESS, "create");
}

static void poll_once(void)
{
    must(memif_poll_event(60000) == MEMIF_ERR_SUCCESS, "poll");
}

/* Sends the next packet if the ring has room; returns how many were sent. */
static int send_packet(struct end *end, int packet)
{
    memif_buffer_t buf;
    uint16_t count;
    uint32_t size = size_of(packet);
    int err = memif_buffer_alloc(end->conn, 0, &buf, 1, &count, (uint16_t)size);
    must(err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF_RING, "allocate");
    if (count == 0)
        return 0;
    uint8_t *data = buf.data;
    for (uint32_t offset = 0; offset < size; offset++)
        data[offset] = byte_of(packet, offset);
    buf.data_len = size;
    must(memif_tx_burst(end->conn, 0, &buf, 1, &count) == MEMIF_ERR_SUCCESS, "send");
    return count;
}

static void send_all(struct end *from, struct end *to)
{
    for (int sent = 0; to->received < PACKETS;) {
        int step = sent < PACKETS ? send_packet(from, sent) : 0;
        sent += step;
        if (step == 0)
            poll_once();
    }
}

static void look(struct end *end)
{
    memif_details_t details;
    char buf[1024];
    int err = memif_get_details(end->conn, &details, buf, sizeof(buf));
    must(err == MEMIF_ERR_SUCCESS && details.link_up_down == 1 && details.rx_queues_num == 2,
         "details");
    err = memif_get_details(end->conn, &details, buf, 20);
    must(err == MEMIF_ERR_NOBUF_DET, "details in little room");
}

static void live(char *socket_path)
{
    struct end master = {0}, slave = {0};
    must(memif_init(NULL, "lifecycle") == MEMIF_ERR_SUCCESS, "init");
    create(&master, socket_path, 1);
    for (int round = 0; round < 2; round++) {
        create(&slave, socket_path, 0);
        while (!master.connected || !slave.connected)
            poll_once();
        send_all(&slave, &master);
        send_all(&master, &slave);
        look(&master);
        look(&slave);
        if (round == 0) {
            must(memif_delete(&slave.conn) == MEMIF_ERR_SUCCESS, "delete");
            while (master.connected)
                poll_once();
        }
    }
    must(memif_cleanup() == MEMIF_ERR_SUCCESS, "cleanup");
}

static void lose_a_block(void)
{
    void *volatile block = malloc(100);
    block = NULL;
    (void)block;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    int descriptors = count_descriptors();
    for (int i = 0; i < 2; i++) {
        live(argv[1]);
        must(count_descriptors() == descriptors, "a descriptor was left open");
        must(count_shared_mappings() == 0, "shared memory was left mapped");
    }
    if (argc > 2)
        lose_a_block();
    return 0;
}
