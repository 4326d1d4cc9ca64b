/* SPDX-License-Identifier: Apache-2.0 */

/* Compiled once for each interface. */

#include "pair.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* ---- polling ---- */

void restrict_protocol(int version)
{
    char text[8];

    (void)snprintf(text, sizeof(text), "%d", version);
    if (version == ANY_VERSION)
        ck_assert_int_eq(unsetenv("LIBMEMIF_PROTOCOL"), 0);
    else
        ck_assert_int_eq(setenv("LIBMEMIF_PROTOCOL", text, 1), 0);
}

uint8_t memif_events(uint32_t epoll_events)
{
    uint8_t bits = 0;

    if (epoll_events & EPOLLIN)
        bits |= MEMIF_FD_EVENT_READ;
    if (epoll_events & (EPOLLERR | EPOLLHUP))
        bits |= MEMIF_FD_EVENT_ERROR;
    return bits;
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

int end_create_with(struct end *end, memif_conn_args_t *args)
{
    memif_ext_on_interrupt_t *interrupt = end->at_interrupt == NULL ? NULL : on_interrupt;
    int err = end->options == NULL
                  ? memif_create(&end->conn, args, on_connect, on_disconnect, interrupt, end)
                  : memif_ext_create(&end->conn, args, on_connect, on_disconnect, interrupt, end,
                                     end->options, sizeof(*end->options));

    memset(args, 0xff, sizeof(*args));
    return err;
}

void end_delete(struct end *end)
{
    ck_assert_int_eq(memif_delete(&end->conn), MEMIF_ERR_SUCCESS);
    ck_assert_ptr_null(end->conn);
}

memif_details_t details_of(memif_conn_handle_t conn)
{
    static char strings[32768];
    memif_details_t details;

    ck_assert_int_eq(memif_get_details(conn, &details, strings, sizeof(strings)),
                     MEMIF_ERR_SUCCESS);
    return details;
}

/* ---- a pair ---- */

void shape_end(struct end *end, const struct shape *shape, bool is_master)
{
    end->args.is_master = is_master;
    end->args.num_s2m_rings = shape->s2m_rings;
    end->args.num_m2s_rings = shape->m2s_rings;
    end->args.log2_ring_size = shape->log2_ring_size;
    end->args.buffer_size = shape->buffer_size;
    if (!is_master && shape->slave_buffer_size > 0)
        end->args.buffer_size = shape->slave_buffer_size;
}

uint32_t ring_capacity(int version, uint8_t log2_ring_size)
{
    uint32_t slots = 1u << (log2_ring_size == 0 ? 10 : log2_ring_size);

    return version == 256 ? slots - 1 : slots;
}

struct flow flow_between(const struct end *master, const struct end *slave,
                         const struct shape *shape, int i)
{
    bool from_master = i / VERSIONS % 2 == 1;

    return (struct flow){
        .from = from_master ? master->conn : slave->conn,
        .to = from_master ? slave->conn : master->conn,
        .capacity = ring_capacity(shape->version, shape->log2_ring_size),
    };
}

/* ---- packets ---- */

void send_around(const struct flow *flow, uint32_t packets, uint32_t length)
{
    uint16_t size = (uint16_t)(flow->capacity > 3 ? flow->capacity / 2 + 1 : 1);

    for (uint32_t sent = 0; sent < packets; sent += size) {
        send_packets(flow->from, 0, size, length, sent);
        expect_packets(flow->to, 0, size, length, sent);
    }
}
