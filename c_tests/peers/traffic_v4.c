/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic over the 4.0 API; see traffic_core.c. As slave of version 512 what is sent back
 * moves to the transmit ring without a copy.
 */

#include "traffic_core.h"

#include <string.h>

enum { MAX_RING = 1 << MAX_LOG2_RING_SIZE, RETRY_NS = 100000000 };

/* A receive queue. */
struct intake {
    memif_buffer_t held[BURST]; /* received, and not yet checked, sent back or gathered */
    uint16_t held_count;
    /* A chain as far as it has come; to be copied and sent back, any packet. */
    uint8_t packet[LARGEST];
    uint32_t len;
    bool is_whole;
};

/* What is reserved in a transmit queue and not sent. A ring of it is the most. */
struct outlet {
    memif_buffer_t reserved[MAX_RING];
    uint16_t count;
};

static memif_socket_handle_t sock;
static memif_conn_handle_t conn;
static struct intake intakes[MAX_QUEUES];
static struct outlet outlets[MAX_QUEUES];
static bool cannot_move; /* as master, and in version 256 */

static void check_unless_down(const char *call, int err)
{
    if (err != MEMIF_ERR_DISCONNECTED)
        check(call, err);
}

/* ---- send ---- */

static void count_sent(uint16_t qid, const memif_buffer_t *buffers, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        program.tx[qid].bytes += buffers[i].len;
        program.tx[qid].sent += (buffers[i].flags & MEMIF_BUFFER_FLAG_NEXT) == 0;
    }
}

/* Sends the whole packets among what is reserved; the beginning of another may stay. */
static void flush(uint16_t qid)
{
    struct outlet *out = &outlets[qid];
    uint16_t sent = 0;

    if (out->count == 0)
        return;
    check_unless_down("memif_tx_burst",
                      memif_tx_burst(conn, qid, out->reserved, out->count, &sent));
    count_sent(qid, out->reserved, sent);
    out->count = (uint16_t)(out->count - sent);
    memmove(out->reserved, out->reserved + sent, out->count * sizeof(out->reserved[0]));
}

/* Copies a packet into the entries reserved for it; returns how many these are. */
static uint16_t scatter(memif_buffer_t *entries, const uint8_t *packet, uint32_t len)
{
    uint16_t count = 0;

    while (len > 0) {
        memif_buffer_t *entry = &entries[count++];
        entry->len = len < entry->len ? len : entry->len;
        memcpy(entry->data, packet, entry->len);
        packet += entry->len;
        len -= entry->len;
        if ((len > 0) != ((entry->flags & MEMIF_BUFFER_FLAG_NEXT) != 0))
            fault("memif_buffer_alloc: entries of another length than the packet");
    }
    return count;
}

/* Reserves `wanted` packets of one size; returns how many there was room for. */
static uint16_t reserve(uint16_t qid, uint16_t wanted, uint16_t size)
{
    struct outlet *out = &outlets[qid];
    const memif_buffer_t *entries = out->reserved + out->count;
    uint16_t count = 0;
    uint16_t packets = 0;

    int err = memif_buffer_alloc(conn, qid, out->reserved + out->count, wanted, &count, size);
    if (err != MEMIF_ERR_NOBUF_RING)
        check_unless_down("memif_buffer_alloc", err);
    for (uint16_t i = 0; i < count; i++)
        packets = (uint16_t)(packets + ((entries[i].flags & MEMIF_BUFFER_FLAG_NEXT) == 0));
    return packets;
}

static uint16_t count_of_one_size(uint32_t first, uint16_t most)
{
    uint16_t count = 1;

    while (count < most && size_of(first + count) == size_of(first))
        count++;
    return count;
}

uint16_t link_send(uint16_t qid, uint16_t wanted)
{
    static uint8_t packet[LARGEST];
    struct outlet *out = &outlets[qid];
    uint32_t before = program.tx[qid].sent;
    uint32_t number = before;
    uint16_t asked;
    uint16_t packets;

    do {
        uint16_t size = size_of(number);
        asked = count_of_one_size(number, wanted);
        packets = reserve(qid, asked, size);
        wanted = (uint16_t)(wanted - packets);
        for (uint16_t i = 0; i < packets; i++) {
            make_packet(packet, number++, size, qid);
            out->count = (uint16_t)(out->count + scatter(out->reserved + out->count, packet, size));
        }
    } while (wanted > 0 && packets == asked);
    flush(qid);
    if (program.is_connected && program.tx[qid].sent != number)
        fault("memif_tx_burst: not all of the packets");
    return (uint16_t)(program.tx[qid].sent - before);
}

/* ---- receive ---- */

/* Whatever lies before a packet is ours. */
static void use_headroom(const memif_buffer_t *buffer)
{
    if (program.options.headroom > 0)
        memset((uint8_t *)buffer->data - program.options.headroom, 0xA5, program.options.headroom);
}

static void take_burst(struct intake *in, uint16_t qid)
{
    int err = memif_rx_burst(conn, qid, in->held, BURST, &in->held_count);

    if (err != MEMIF_ERR_NOBUF)
        check_unless_down("memif_rx_burst", err);
    for (uint16_t i = 0; i < in->held_count; i++)
        use_headroom(&in->held[i]);
}

static void give_back(struct intake *in, uint16_t qid, uint16_t count)
{
    check_unless_down("memif_refill_queue",
                      memif_refill_queue(conn, qid, count, program.options.headroom));
    in->held_count = (uint16_t)(in->held_count - count);
    memmove(in->held, in->held + count, in->held_count * sizeof(in->held[0]));
}

static void count_received(uint16_t qid, const memif_buffer_t *buffer)
{
    program.rx[qid].bytes += buffer->len;
    program.rx[qid].received += (buffer->flags & MEMIF_BUFFER_FLAG_NEXT) == 0;
}

static void gather(struct intake *in, const memif_buffer_t *buffer)
{
    if (buffer->len > sizeof(in->packet) - in->len) {
        fault("a chain of more than %d bytes", LARGEST);
        return;
    }
    memcpy(in->packet + in->len, buffer->data, buffer->len);
    in->len += buffer->len;
    in->is_whole = (buffer->flags & MEMIF_BUFFER_FLAG_NEXT) == 0;
}

static void start_anew(struct intake *in)
{
    in->len = 0;
    in->is_whole = false;
}

static void check_entry(struct intake *in, uint16_t qid, const memif_buffer_t *buffer)
{
    bool is_last = (buffer->flags & MEMIF_BUFFER_FLAG_NEXT) == 0;

    if (is_last && in->len == 0) {
        check_packet(&program.rx[qid], qid, buffer->data, buffer->len);
    } else {
        gather(in, buffer);
        if (!in->is_whole)
            return;
        check_packet(&program.rx[qid], qid, in->packet, in->len);
        start_anew(in);
    }
}

static uint16_t check_held(struct intake *in, uint16_t qid)
{
    for (uint16_t i = 0; i < in->held_count; i++) {
        check_entry(in, qid, &in->held[i]);
        count_received(qid, &in->held[i]); /* the check wants the count before */
    }
    return in->held_count;
}

/* ---- send back ---- */

/* False when there is no room now. */
static bool send_copy(struct intake *in, uint16_t tx_qid)
{
    struct outlet *out = &outlets[tx_qid];

    if (reserve(tx_qid, 1, (uint16_t)in->len) == 0)
        return false;
    out->count = (uint16_t)(out->count + scatter(out->reserved + out->count, in->packet, in->len));
    start_anew(in);
    flush(tx_qid);
    return true;
}

static uint16_t copy_back(struct intake *in, uint16_t qid, uint16_t tx_qid)
{
    uint16_t done = 0;

    for (;;) {
        if (in->is_whole && !send_copy(in, tx_qid))
            return done;
        if (done == in->held_count)
            return done;
        count_received(qid, &in->held[done]);
        gather(in, &in->held[done++]);
    }
}

static uint16_t move_back(struct intake *in, uint16_t qid, uint16_t tx_qid)
{
    struct outlet *out = &outlets[tx_qid];
    uint16_t moved = 0;

    int err = memif_buffer_enq_tx(conn, tx_qid, in->held, in->held_count, &moved);
    if (err == MEMIF_ERR_INVAL_ARG && moved == 0 && program.tx[tx_qid].moved == 0) {
        cannot_move = true;
        return 0;
    }
    if (err != MEMIF_ERR_NOBUF_RING)
        check_unless_down("memif_buffer_enq_tx", err);
    for (uint16_t i = 0; i < moved; i++) {
        count_received(qid, &in->held[i]);
        program.tx[tx_qid].moved += (in->held[i].flags & MEMIF_BUFFER_FLAG_NEXT) == 0;
        out->reserved[out->count++] = in->held[i];
    }
    flush(tx_qid);
    return moved;
}

static uint16_t echo(struct intake *in, uint16_t qid)
{
    uint16_t tx_qid = (uint16_t)(qid % program.tx_count);
    uint16_t done = 0;

    if (!cannot_move && in->held_count > 0)
        done = move_back(in, qid, tx_qid);
    return cannot_move ? copy_back(in, qid, tx_qid) : done;
}

uint16_t link_receive(uint16_t qid)
{
    struct intake *in = &intakes[qid];
    uint16_t done;

    if (in->held_count == 0)
        take_burst(in, qid);
    if (program.options.is_echo)
        done = echo(in, qid);
    else
        done = check_held(in, qid);
    if (done > 0)
        give_back(in, qid, done);
    return done;
}

bool link_is_holding(uint16_t qid)
{
    return intakes[qid].held_count > 0 || intakes[qid].is_whole;
}

/* ---- callbacks ---- */

static void open_rx_queue(memif_conn_handle_t handle, uint16_t qid)
{
    intakes[qid].held_count = 0;
    start_anew(&intakes[qid]);
    if (program.options.is_polling)
        check("memif_set_rx_mode", memif_set_rx_mode(handle, MEMIF_RX_MODE_POLLING, qid));
    check("memif_refill_queue",
          memif_refill_queue(handle, qid, UINT16_MAX, program.options.headroom));
}

static int on_connect(memif_conn_handle_t handle, void *private_ctx)
{
    memif_details_t details;
    char text[4096];

    (void)private_ctx;
    memset(&details, 0, sizeof(details));
    check("memif_get_details", memif_get_details(handle, &details, text, sizeof(text)));
    cannot_move = false;
    for (uint16_t qid = 0; qid < details.rx_queues_num && qid < MAX_QUEUES; qid++)
        open_rx_queue(handle, qid);
    for (uint16_t qid = 0; qid < MAX_QUEUES; qid++)
        outlets[qid].count = 0;
    connected(details.rx_queues_num, details.tx_queues_num);
    return 0;
}

/* ---- the interface ---- */

static bool open_socket(void)
{
    memif_socket_args_t args = {
        .app_name = "traffic",
        .connection_request_timer = {.it_value.tv_nsec = RETRY_NS, .it_interval.tv_nsec = RETRY_NS},
    };
    size_t length = strlen(program.options.socket);

    if (length >= sizeof(args.path)) {
        fault("%s: too long", program.options.socket);
        return false;
    }
    memcpy(args.path, program.options.socket, length);
    return check("memif_create_socket", memif_create_socket(&sock, &args, NULL));
}

bool link_open(void)
{
    const struct options *options = &program.options;

    if (options->is_master && options->headroom > 0) {
        fault("the headroom is the slave's");
        return false;
    }
    if (!open_socket())
        return false;
    memif_conn_args_t args = {
        .socket = sock,
        .num_s2m_rings = options->num_s2m_rings,
        .num_m2s_rings = options->num_m2s_rings,
        .buffer_size = options->buffer_size,
        .log2_ring_size = options->log2_ring_size,
        .is_master = options->is_master,
        .interface_id = options->interface_id,
    };
    memcpy(args.secret, options->secret, sizeof(args.secret));
    return check("memif_create",
                 memif_create(&conn, &args, on_connect, on_disconnect, on_interrupt, NULL));
}

void link_close(void)
{
    if (conn != NULL)
        check("memif_delete", memif_delete(&conn));
    if (sock != NULL)
        check("memif_delete_socket", memif_delete_socket(&sock));
}

void link_poll(int timeout)
{
    int err = memif_poll_event(sock, timeout);

    if (err > 0 && err != MEMIF_ERR_POLL_CANCEL && !program.options.is_continuous)
        check("memif_poll_event", err);
}

void link_cancel(void)
{
    memif_cancel_poll_event(sock);
}

memif_conn_handle_t link_handle(void)
{
    return conn;
}
