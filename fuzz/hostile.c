/* SPDX-License-Identifier: Apache-2.0 */

#include "hostile.h"

static void write_descriptor(struct testbed *bed, const struct fuzz_action *action)
{
    enum mif_direction direction = action->transmit ? MIF_TX : MIF_RX;
    uint32_t slot = action->desc.slot & (testbed_slots(bed) - 1), odd = action->desc.odd;
    struct testbed_desc desc = testbed_honest(bed, direction, slot, action->desc.length);
    if (odd & 1)
        desc.flags = action->desc.flags;
    if (odd & 2)
        desc.region = action->desc.region % (TESTBED_REGIONS + 2);
    if (odd & 4)
        desc.length = action->desc.any_length;
    if (odd & 8)
        desc.offset = action->desc.offset;
    if ((odd & 24) == 24)
        desc.offset = (uint64_t)0 - action->desc.from_end;
    else if (odd & 16 && desc.region < TESTBED_REGIONS)
        desc.offset =
            bed->regions[desc.region].size - desc.length + action->desc.from_end - (uint64_t)128;
    if (odd & 32)
        desc.length = (uint32_t)0 - action->desc.short_length;
    testbed_peer_write(bed, direction, slot, &desc);
}

/* Overwrites any word of the rings, including our own indices and the headers. */
static void write_word(struct testbed *bed, const struct fuzz_action *action)
{
    size_t words = bed->regions[TESTBED_RINGS].size / sizeof(uint64_t);
    uint64_t *at = (uint64_t *)(void *)bed->regions[TESTBED_RINGS].base + action->count % words;
    __atomic_store_n(at, action->word, __ATOMIC_RELAXED);
}

static void peer_acts(struct testbed *bed, const struct fuzz_action *action)
{
    enum mif_direction direction = action->transmit ? MIF_TX : MIF_RX;
    switch (action->deed) {
    case FUZZ_TURN:
        testbed_peer_turn(bed, action->any_size);
        break;
    case FUZZ_HONEST_MOVE:
        testbed_peer_move(bed, direction, action->count % (testbed_peer_room(bed, direction) + 1));
        break;
    case FUZZ_MOVE:
        testbed_peer_move(bed, direction, action->count);
        break;
    case FUZZ_WRITE_WORD:
        write_word(bed, action);
        break;
    default:
        write_descriptor(bed, action);
        break;
    }
}

/* Calls that only the 4.0 API has. They take any entry that we hold. */
static int move_buffers(struct testbed *bed, const struct fuzz_action *action, uint16_t *count)
{
    int err = MIF_ERR_SUCCESS;
#ifdef TESTBED_ENTRY_FACE
    uint32_t received = bed->held_count[MIF_RX], reserved = bed->held_count[MIF_TX];
    memif_buffer_t *from = received > 0 ? &bed->held[MIF_RX][action->received % received] : NULL;
    memif_buffer_t *to = reserved > 0 ? &bed->held[MIF_TX][action->reserved % reserved] : NULL;
    if (action->deed == FUZZ_ENQUEUE && from != NULL)
        err = mif_entry_enqueue(bed->handle, 0, from, 1, count);
    else if (action->deed == FUZZ_REQUEUE && from != NULL && to != NULL)
        err = mif_entry_requeue(bed->handle, from, to);
    else if (to != NULL)
        err = mif_entry_set_next_free(bed->handle, 0, to);
    testbed_moved(bed);
#else
    (void)bed;
    (void)action;
    (void)count;
#endif
    return err;
}

int fuzz_act(struct testbed *bed, const struct fuzz_action *action, uint16_t *count)
{
    uint32_t size = fuzz_size(action, bed->shape.buffer_size);
    *count = 0;
    switch (action->deed) {
    case FUZZ_RECEIVE:
        return testbed_receive(bed, action->count, count);
    case FUZZ_GIVE_BACK:
        return testbed_give_back(bed, action->count, 0);
    case FUZZ_GIVE_BACK_WITH_HEADROOM:
#ifdef TESTBED_ENTRY_FACE
        return testbed_give_back(bed, action->count, action->any_size);
#else
        return MIF_ERR_SUCCESS;
#endif
    case FUZZ_RESERVE:
        return testbed_reserve(bed, action->count, size, count);
    case FUZZ_SEND:
        return testbed_send(bed, action->count, size, count);
    case FUZZ_SET_POLLING:
        return mif_queue_set_polling(bed->handle, 0, (int)action->count);
    case FUZZ_ENQUEUE:
    case FUZZ_REQUEUE:
    case FUZZ_SET_NEXT_FREE:
        return move_buffers(bed, action, count);
    default:
        peer_acts(bed, action);
        return MIF_ERR_SUCCESS;
    }
}
