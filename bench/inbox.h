/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a queue received and was not yet given back: a packet of several entries may still lack
 * some. Inlined, as the calls of api.h are.
 */
#ifndef BENCH_INBOX_H
#define BENCH_INBOX_H

#include "api.h"
#include "cases.h"
#include "link.h"

#include <string.h>

/* Slots of 2048 bytes that the largest burst of packets takes. */
#define INBOX_ENTRIES (CASE_MAX_BURST * 8)

struct inbox {
    memif_buffer_t bufs[INBOX_ENTRIES];
    uint16_t held;
    struct stamp_check check;
};

/* Adds what waits, at most `wanted` entries; returns how many entries belong to whole packets,
 * which is *packets. */
static inline uint16_t inbox_collect(struct inbox *in, const struct link_end *end, uint16_t qid,
                                     uint32_t wanted, uint16_t *packets)
{
    uint32_t room = INBOX_ENTRIES - (uint32_t)in->held;
    uint16_t count = 0;
    uint16_t whole = 0;

    int err = api_rx(end->conn, qid, in->bufs + in->held, (uint16_t)(wanted < room ? wanted : room),
                     &count);
    if (count == 0)
        link_must_work(end, "rx", err);
    in->held = (uint16_t)(in->held + count);
#if MEMIF_API == 1
    *packets = whole = in->held;
#else
    *packets = 0;
    for (uint16_t i = 0; i < in->held; i++) {
        if (!api_continues(&in->bufs[i])) {
            whole = (uint16_t)(i + 1);
            (*packets)++;
        }
    }
#endif
    return whole;
}

/* Gives the oldest `count` entries back. */
static inline void inbox_give_back(struct inbox *in, const struct link_end *end, uint16_t qid,
                                   uint16_t count)
{
    link_must_work(end, "free", api_give_back(end->conn, qid, in->bufs, count));
    in->held = (uint16_t)(in->held - count);
    if (in->held > 0)
        memmove(in->bufs, in->bufs + count, in->held * sizeof(in->bufs[0]));
}

#endif
