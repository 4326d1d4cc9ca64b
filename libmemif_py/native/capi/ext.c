/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of memif_ext.h. Compiled for each of the two APIs with its own libmemif.h. */
#include "capi/ext.h"

#include "capi/common.h"
#include "core/counters.h"
#include "core/queue.h"
#include "core/room.h"

#include <string.h>

/* Copies an answer into the caller's structure, which may be shorter or longer than ours: it may
 * have been compiled with another version of the header. */
static void answer(void *to, size_t to_size, const void *from, size_t from_size)
{
    size_t both = to_size < from_size ? to_size : from_size;
    memcpy(to, from, both);
    memset((char *)to + both, 0, to_size - both);
}

static bool bad_direction(memif_ext_direction_t direction)
{
    return direction != MEMIF_EXT_RX && direction != MEMIF_EXT_TX;
}

static const char *vectors(void)
{
#ifdef MIF_HAVE_AVX2
    if (__builtin_cpu_supports("avx2"))
        return "avx2";
    return "none";
#elif defined(__aarch64__) && defined(__ARM_NEON)
    return "neon";
#else
    return "none";
#endif
}

int memif_ext_get_library(memif_ext_library_t *library, size_t size)
{
    if (library == NULL)
        return mif_ext_code(MIF_ERR_INVAL_ARG);
    const memif_ext_library_t ours = {
        .version = MIF_LIBRARY_VERSION,
        .interface = LIBMEMIF_VERSION,
        .vectors = vectors(),
        .protocol_min = MIF_VERSION_256,
        .protocol_max = MIF_VERSION_512,
    };
    answer(library, size, &ours, sizeof(ours));
    return MEMIF_ERR_SUCCESS;
}

int memif_ext_get_counters(memif_conn_handle_t conn, memif_ext_direction_t direction, uint16_t qid,
                           memif_ext_counters_t *counters, size_t size)
{
    if (mif_lookup(conn) == NULL)
        return mif_ext_code(MIF_ERR_NOCONN);
    if (counters == NULL || bad_direction(direction))
        return mif_ext_code(MIF_ERR_INVAL_ARG);
    if (qid >= MIF_MAX_QUEUES)
        return mif_ext_code(MIF_ERR_QID);
    struct mif_totals totals;
    mif_queue_totals(conn, qid, direction == MEMIF_EXT_TX, &totals);
    const memif_ext_counters_t ours = {
        .packets = totals.packets,
        .bytes = totals.bytes,
        .full = totals.full,
        .interrupts = totals.signals,
        .refused = totals.refused,
    };
    answer(counters, size, &ours, sizeof(ours));
    return MEMIF_ERR_SUCCESS;
}

int memif_ext_get_ring(memif_conn_handle_t conn, memif_ext_direction_t direction, uint16_t qid,
                       memif_ext_ring_t *ring, size_t size)
{
    struct mif_ring_state state;
    if (mif_lookup(conn) == NULL)
        return mif_ext_code(MIF_ERR_NOCONN);
    if (ring == NULL || bad_direction(direction))
        return mif_ext_code(MIF_ERR_INVAL_ARG);
    int err = mif_queue_ring(conn, qid, direction == MEMIF_EXT_TX, &state);
    if (err != MIF_ERR_SUCCESS)
        return mif_ext_code(err);
    const memif_ext_ring_t ours = {
        .slots = state.slots,
        .used = state.fill.slots,
        .packets = state.fill.packets,
        .entries = MIF_ENTRY_PER_SLOT ? state.usable : 1,
    };
    answer(ring, size, &ours, sizeof(ours));
    return MEMIF_ERR_SUCCESS;
}

int memif_ext_get_peer(memif_conn_handle_t conn, memif_ext_peer_t *peer, size_t size)
{
    memif_ext_peer_t ours = {0};
    int err = mif_capi_check_handle(conn);
    if (err == MIF_ERR_SUCCESS && peer == NULL)
        err = MIF_ERR_INVAL_ARG;
    if (err == MIF_ERR_SUCCESS)
        err = mif_python_peer(conn, &ours);
    if (err == MIF_ERR_SUCCESS)
        answer(peer, size, &ours, sizeof(ours));
    return mif_ext_code(err);
}

int memif_ext_get_last_error(memif_conn_handle_t conn, char *text, size_t size)
{
    int err = mif_capi_check_handle(conn);
    if (err == MIF_ERR_SUCCESS && (text == NULL || size == 0))
        err = MIF_ERR_INVAL_ARG;
    if (err == MIF_ERR_SUCCESS)
        err = mif_python_last_error(conn, text, size);
    return mif_ext_code(err);
}

int memif_ext_create(memif_conn_handle_t *conn, memif_conn_args_t *args,
                     memif_connection_update_t *on_connect,
                     memif_connection_update_t *on_disconnect,
                     memif_ext_on_interrupt_t *on_interrupt, void *private_ctx,
                     const memif_ext_options_t *options, size_t size)
{
    memif_ext_options_t ours;
    if (options != NULL)
        answer(&ours, sizeof(ours), options, size);
    return mif_ext_create(conn, args, on_connect, on_disconnect, on_interrupt, private_ctx,
                          options == NULL ? NULL : &ours);
}

int memif_ext_get_room(memif_conn_handle_t conn, uint16_t qid, uint32_t *slots)
{
    if (mif_lookup(conn) == NULL)
        return mif_ext_code(MIF_ERR_NOCONN);
    if (slots == NULL)
        return mif_ext_code(MIF_ERR_INVAL_ARG);
    return mif_ext_code(mif_room(conn, qid, slots));
}

int memif_ext_watch_room(memif_conn_handle_t conn, uint16_t qid, uint32_t packets, int fd)
{
    return mif_ext_code(mif_room_watch(conn, qid, packets, fd));
}

int memif_ext_wait_room(memif_conn_handle_t conn, uint16_t qid, uint32_t packets, int timeout_ms)
{
    return mif_ext_code(mif_room_wait(conn, qid, packets, timeout_ms));
}
