/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A connection between two handles of the C core in this process: without sockets and without
 * Python, so that thousands take a moment and ThreadSanitizer sees all there is. Programs that use
 * it are linked with the core and the packet face themselves.
 */

#ifndef MEMIF_C_TESTS_LOOPBACK_H
#define MEMIF_C_TESTS_LOOPBACK_H

#include "core/connection.h"
#include "core/fault.h"
#include "core/poller.h"
#include "core/queue.h"
#include "core/regions.h"
#include "core/setup.h"
#include "datapath/packet.h"

enum { QUEUES = 2, LOG2_SLOTS = 4, BUFFER = 128, REGION_BYTES = 1 << 20, RING_BYTES = 1 << 12 };
enum side { MASTER, SLAVE, SIDES };

struct loopback {
    int memory;
    int spare_memory;
    int efds[2 * QUEUES]; /* by ring: S2M first */
    uint16_t version;
    _Atomic(void *) handles[SIDES];
};
extern struct loopback loopback;

/* Two handles, both down. */
void open_loopback(uint16_t version);
void close_loopback(void);
void open_side(enum side side);
/* One that is no side, down. */
void *open_handle(void);
/* The slave first, since it writes the rings. */
void raise_side(enum side side);
/* Any other handle, on memory of its own. */
void raise_as(void *handle, enum side side, int memory);
/* One queue, of a ring from slave to master or of the other way. Region 0 is mapped. */
void add_queue(void *handle, enum side side, uint16_t qid, bool s2m);
/* What sets up a receive queue of a slave, whose ring begins region 0. */
struct mif_queue_config slave_queue(uint16_t version);
/* Its mapping goes, and the other one's stays: a process that died. */
void lower_side(enum side side);
/* What was is forgotten: a slave comes with memory of its own each time. */
void change_memory(void);

#endif
