/* SPDX-License-Identifier: Apache-2.0 */
#include "core/room.h"

#include "core/arena.h"
#include "core/errors.h"
#include "core/fault.h"
#include "core/ring.h"

#include <time.h>

/* Between two looks, in nanoseconds. */
enum { SHORTEST_NAP = 10000, LONGEST_NAP = 1000000 };

struct look {
    uint32_t free;     /* slots that a burst could reserve */
    uint32_t capacity; /* slots of the ring that can be in use */
};

static int look(const void *handle, uint16_t qid, struct look *seen)
{
    struct mif_queue *q = mif_enter(handle, qid, MIF_TX);
    if (q == NULL)
        return mif_why_not(handle, qid, MIF_TX);
    enum mif_kind kind = (enum mif_kind)q->kind;
    int err = MIF_ERR_SUCCESS;
    if (!mif_refresh(q, kind)) {
        mif_fault(q, "ring index out of range");
        err = MIF_ERR_DISCONNECTED;
    }
    *seen =
        (struct look){.free = (uint32_t)(q->limit - q->next), .capacity = mif_capacity(q, kind)};
    mif_leave(q);
    return err;
}

int mif_room(const void *handle, uint16_t qid, uint32_t *slots)
{
    struct look seen = {0};
    int err = look(handle, qid, &seen);
    *slots = err == MIF_ERR_SUCCESS ? seen.free : 0;
    return err;
}

static int64_t now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* How long the receiver will take for the missing slots, if it goes on as it did since `began`. */
static int64_t nap_for(uint32_t missing, uint32_t gained, int64_t elapsed, int64_t last)
{
    int64_t nap = gained > 0 ? elapsed / gained * missing : last * 2;
    if (nap < SHORTEST_NAP)
        return SHORTEST_NAP;
    return nap > LONGEST_NAP ? LONGEST_NAP : nap;
}

int mif_room_wait(const void *handle, uint16_t qid, uint32_t slots, int timeout_ms)
{
    const int64_t began = now(), end = began + timeout_ms * 1000000LL;
    int64_t nap = SHORTEST_NAP / 2;
    uint32_t at_first = 0;
    for (bool first = true;; first = false) {
        struct look seen;
        int err = look(handle, qid, &seen);
        if (err != MIF_ERR_SUCCESS)
            return err;
        if (slots > seen.capacity)
            return MIF_ERR_INVAL_ARG;
        if (seen.free >= slots)
            return MIF_ERR_SUCCESS;
        if (first)
            at_first = seen.free;
        int64_t time = now();
        if (timeout_ms >= 0 && time >= end)
            return MIF_ERR_AGAIN;
        uint32_t gained = seen.free > at_first ? seen.free - at_first : 0;
        nap = nap_for(slots - seen.free, gained, time - began, nap);
        int64_t rest = timeout_ms < 0 || end - time > nap ? nap : end - time;
        (void)nanosleep(&(struct timespec){.tv_nsec = rest}, NULL);
    }
}
