/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifecycle_v4 SOCKET VERSION: everything of the 4.0 API that takes and gives back memory. A
 * master and a slave of this process connect, exchange packets of one and of several buffers in
 * both directions until the rings have wrapped, disconnect and connect again; then the sockets are
 * deleted. With version 512 the slave leaves headroom and sends packets back without a copy, and
 * all of it is done with external regions, too.
 */
#include "lifecycle.h"

#include <libmemif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_SIZE (1 << LOG2_RING_SIZE)
#define HEADROOM 16

struct end {
    memif_socket_handle_t sock;
    memif_conn_handle_t conn;
    uint16_t headroom;
    int connected;
    int echoes;
    int received;
    uint32_t length; /* of the packet that is coming in */
    uint8_t packet[LARGEST];
    int regions;            /* external ones in use */
    uint32_t buffer_offset; /* of the next buffer in an external region */
    int region_fd;
};

static int epoll_fd;
static int blocks; /* of our allocator, in use */

/* ---- what the library is given ---- */

static void *allocate(size_t size)
{
    blocks++;
    return malloc(size);
}

static void deallocate(void *block)
{
    blocks -= block != NULL;
    free(block);
}

static int on_control_fd_update(memif_fd_event_t fde, void *private_ctx)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fde.private_ctx};
    int operation = fde.type & MEMIF_FD_EVENT_DEL ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
    (void)private_ctx;
    return epoll_ctl(epoll_fd, operation, fde.fd, &event);
}

static int add_region(void **addr, uint32_t size, int *fd, void *private_ctx)
{
    struct end *end = private_ctx;
    end->region_fd = memfd_create("buffers", MFD_CLOEXEC);
    must(end->region_fd >= 0 && ftruncate(end->region_fd, size) == 0, "memory for a region");
    *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, end->region_fd, 0);
    must(*addr != MAP_FAILED, "mapping of our region");
    *fd = end->region_fd;
    end->buffer_offset = 0;
    end->regions++;
    return 0;
}

static void *map_region(uint32_t size, int fd, void *private_ctx)
{
    struct end *end = private_ctx;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(base != MAP_FAILED, "mapping of the peer's region");
    end->regions++;
    return base;
}

static int delete_region(void *addr, uint32_t size, int fd, void *private_ctx)
{
    struct end *end = private_ctx;
    must(munmap(addr, size) == 0, "end of a mapping");
    if (fd == end->region_fd)
        must(close(fd) == 0, "end of a region");
    end->regions--;
    return 0;
}

static uint32_t next_buffer(void *private_ctx)
{
    struct end *end = private_ctx;
    uint32_t offset = end->buffer_offset;
    end->buffer_offset += BUFFER_SIZE + (uint32_t)end->headroom;
    return offset;
}

/* ---- packets ---- */

static void take_packet(struct end *end)
{
    must(end->length == size_of(end->received), "size");
    for (uint32_t offset = 0; offset < end->length; offset++)
        must(end->packet[offset] == byte_of(end->received, offset), "content");
    end->length = 0;
    end->received++;
}

static void take_buffer(struct end *end, const memif_buffer_t *buf)
{
    must(end->length + buf->len <= LARGEST, "length");
    memcpy(end->packet + end->length, buf->data, buf->len);
    end->length += buf->len;
    if ((buf->flags & MEMIF_BUFFER_FLAG_NEXT) == 0)
        take_packet(end);
}

/* Sends buffers back as they are. */
static void echo(struct end *end, uint16_t qid, memif_buffer_t *bufs, uint16_t count)
{
    uint16_t moved, sent;
    int err = memif_buffer_enq_tx(end->conn, qid, bufs, count, &moved);
    must(err == MEMIF_ERR_SUCCESS && moved == count, "move");
    err = memif_tx_burst(end->conn, qid, bufs, count, &sent);
    must(err == MEMIF_ERR_SUCCESS && sent == count, "send what was moved");
}

static int on_interrupt(memif_conn_handle_t conn, void *private_ctx, uint16_t qid)
{
    struct end *end = private_ctx;
    memif_buffer_t bufs[RING_SIZE];
    uint16_t count;
    int err = memif_rx_burst(conn, qid, bufs, RING_SIZE - 3, &count);
    must(err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF, "receive");
    for (uint16_t i = 0; i < count; i++)
        take_buffer(end, &bufs[i]);
    if (end->echoes && count > 0)
        echo(end, qid, bufs, count);
    must(memif_refill_queue(conn, qid, count, end->headroom) == MEMIF_ERR_SUCCESS, "refill");
    return 0;
}

/* Takes one packet too many back before it sends. Returns how many were sent. */
static int send_packet(struct end *end, int packet)
{
    memif_buffer_t bufs[RING_SIZE], spare[1];
    uint16_t count, spares;
    int err = memif_buffer_alloc(end->conn, 0, bufs, 1, &count, (uint16_t)size_of(packet));
    must(err == MEMIF_ERR_SUCCESS || err == MEMIF_ERR_NOBUF_RING, "allocate");
    if (count == 0)
        return 0;
    if (memif_buffer_alloc(end->conn, 0, spare, 1, &spares, 1) == MEMIF_ERR_SUCCESS)
        must(memif_set_next_free_buffer(end->conn, 0, spare) == MEMIF_ERR_SUCCESS, "take back");
    uint32_t at = 0;
    for (uint16_t i = 0; i < count; i++) {
        uint8_t *data = bufs[i].data;
        for (uint32_t offset = 0; offset < bufs[i].len; offset++)
            data[offset] = byte_of(packet, at++);
    }
    must(at == size_of(packet), "allocated size");
    must(memif_tx_burst(end->conn, 0, bufs, count, &count) == MEMIF_ERR_SUCCESS, "send");
    return 1;
}

static void poll_once(void)
{
    struct epoll_event event;
    must(epoll_wait(epoll_fd, &event, 1, 60000) == 1, "wait");
    int err = memif_control_fd_handler(event.data.ptr, MEMIF_FD_EVENT_READ);
    must(err == MEMIF_ERR_SUCCESS, "event");
}

static void send_all(struct end *from, struct end *to)
{
    to->received = 0;
    for (int sent = 0; to->received < PACKETS;) {
        int step = sent < PACKETS ? send_packet(from, sent) : 0;
        sent += step;
        if (step == 0)
            poll_once();
    }
}

/* One packet at a time goes to the slave and comes back. */
static void send_to_and_fro(struct end *master, struct end *slave)
{
    master->received = slave->received = 0;
    slave->echoes = 1;
    for (int packet = 0; packet < PACKETS; packet++) {
        must(send_packet(master, packet) == 1, "room for one packet");
        while (master->received <= packet)
            poll_once();
    }
    slave->echoes = 0;
}

/* ---- life ---- */

static int on_connect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;
    end->connected = 1;
    for (uint16_t qid = 0; qid < 2; qid++)
        must(memif_refill_queue(conn, qid, UINT16_MAX, end->headroom) == MEMIF_ERR_SUCCESS,
             "first buffers");
    return 0;
}

static int on_disconnect(memif_conn_handle_t conn, void *private_ctx)
{
    struct end *end = private_ctx;
    (void)conn;
    end->connected = 0;
    return 0;
}

static void open_socket(struct end *end, const char *path, int external)
{
    memif_socket_args_t args = {
        .app_name = "lifecycle_v4",
        .on_control_fd_update = on_control_fd_update,
        .alloc = allocate,
        .free = deallocate,
    };
    snprintf(args.path, sizeof(args.path), "%s", path);
    must(memif_create_socket(&end->sock, &args, NULL) == MEMIF_ERR_SUCCESS, "create a socket");
    end->region_fd = -1;
    if (external)
        must(memif_register_external_region(end->sock, add_region, map_region, delete_region,
                                            next_buffer) == MEMIF_ERR_SUCCESS,
             "external regions");
}

static void create(struct end *end, uint8_t is_master)
{
    memif_conn_args_t args = {
        .socket = end->sock,
        .secret = "a secret",
        .buffer_size = (uint16_t)(BUFFER_SIZE + end->headroom),
        .log2_ring_size = LOG2_RING_SIZE,
        .num_s2m_rings = 2,
        .num_m2s_rings = 2,
        .is_master = is_master,
        .interface_id = 9,
        .interface_name = "lifecycle_v4",
    };
    int err = memif_create(&end->conn, &args, on_connect, on_disconnect, on_interrupt, end);
    must(err == MEMIF_ERR_SUCCESS, "create");
}

static void delete(struct end *end)
{
    must(memif_delete(&end->conn) == MEMIF_ERR_SUCCESS, "delete");
    must(end->regions == 0, "a region was not given back");
}

static void look(struct end *end, int external)
{
    memif_details_t details;
    char buf[2048];
    int err = memif_get_details(end->conn, &details, buf, sizeof(buf));
    must(err == MEMIF_ERR_SUCCESS && details.link_up_down == 1 && details.rx_queues_num == 2,
         "details");
    must(details.regions[details.regions_num - 1].is_external == external, "regions");
    err = memif_get_details(end->conn, &details, buf, 20);
    must(err == MEMIF_ERR_NOBUF_DET, "details in little room");
}

static void live(const char *path, int version, int external)
{
    static struct end master, slave;
    memset(&master, 0, sizeof(master));
    memset(&slave, 0, sizeof(slave));
    slave.headroom = version == 512 ? HEADROOM : 0;
    open_socket(&master, path, external);
    open_socket(&slave, path, external);
    create(&master, 1);
    for (int round = 0; round < 2; round++) {
        create(&slave, 0);
        while (!master.connected || !slave.connected)
            poll_once();
        send_all(&slave, &master);
        send_all(&master, &slave);
        if (version == 512)
            send_to_and_fro(&master, &slave);
        look(&master, external);
        look(&slave, external);
        delete(&slave);
        while (master.connected)
            poll_once();
        must(master.regions == 0, "the master's region was not given back");
    }
    delete(&master);
    must(memif_delete_socket(&slave.sock) == MEMIF_ERR_SUCCESS, "delete the slave's socket");
    must(memif_delete_socket(&master.sock) == MEMIF_ERR_SUCCESS, "delete the master's socket");
    must(blocks == 0, "the program's allocator did not get everything back");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int version = atoi(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    must(epoll_fd >= 0, "epoll");
    int descriptors = count_descriptors();
    for (int i = 0; i < 2; i++)
        for (int external = 0; external < (version == 512 ? 2 : 1); external++) {
            live(argv[1], version, external);
            must(count_descriptors() == descriptors, "a descriptor was left open");
            must(count_shared_mappings() == 0, "shared memory was left mapped");
        }
    close(epoll_fd);
    return 0;
}
