/* SPDX-License-Identifier: Apache-2.0 */

#include "action.h"

uint64_t fuzz_take(struct fuzz_input *input, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && input->at != input->end; i++)
        value |= (uint64_t)*input->at++ << 8 * i;
    return value;
}

/* Mostly small counts, and counts that the loops handle specially. */
static uint32_t take_count(struct fuzz_input *input)
{
    static const uint16_t counts[] = {1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 64, 100, 256, 0, 5};
    return counts[fuzz_take(input, 1) % 16];
}

static void take_size(struct fuzz_input *input, struct fuzz_action *action)
{
    action->size = (uint32_t)fuzz_take(input, 1);
    if (action->size >= 128)
        action->any_size = (uint32_t)fuzz_take(input, 2);
}

uint32_t fuzz_size(const struct fuzz_action *action, uint32_t own)
{
    const uint32_t sizes[] = {0, 1, own, own + 1, 3 * own, 65535, own - 1, 2 * own};
    return action->size < 128 ? sizes[action->size % 8] : action->any_size;
}

/* Each field has a good value, one near a limit, or any value. */
static void take_descriptor(struct fuzz_input *input, struct fuzz_action *action)
{
    action->desc.slot = (uint32_t)fuzz_take(input, 1);
    action->desc.length = (uint32_t)fuzz_take(input, 1);
    uint32_t odd = action->desc.odd = (uint32_t)fuzz_take(input, 1);
    if (odd & 1)
        action->desc.flags = (uint16_t)fuzz_take(input, 1);
    if (odd & 2)
        action->desc.region = (uint16_t)fuzz_take(input, 1);
    if (odd & 4)
        action->desc.any_length = (uint32_t)fuzz_take(input, odd & 64 ? 4 : 2);
    if (odd & 8)
        action->desc.offset = fuzz_take(input, odd & 128 ? 8 : 2);
    if (odd & 16)
        action->desc.from_end = (uint32_t)fuzz_take(input, 1);
    if (odd & 32)
        action->desc.short_length = (uint32_t)fuzz_take(input, 1);
}

static void decode_peer(struct fuzz_input *input, struct fuzz_action *action, uint32_t what)
{
    action->transmit = what & 1;
    switch (what / 2 % 8) {
    case 0:
        action->deed = FUZZ_TURN;
        action->any_size = (uint32_t)fuzz_take(input, 1);
        break;
    case 1:
        action->deed = FUZZ_HONEST_MOVE;
        action->count = (uint32_t)fuzz_take(input, 1);
        break;
    case 2:
        action->deed = FUZZ_MOVE;
        action->count = (uint32_t)fuzz_take(input, 2);
        break;
    case 3:
        action->deed = FUZZ_WRITE_WORD;
        action->count = (uint32_t)fuzz_take(input, 2);
        action->word = fuzz_take(input, 8);
        break;
    default:
        action->deed = FUZZ_WRITE_DESCRIPTOR;
        take_descriptor(input, action);
        break;
    }
}

/* Calls that only the 4.0 API has. */
static void decode_other(struct fuzz_input *input, struct fuzz_action *action, uint32_t what)
{
    if (what & 8) {
        action->deed = what & 16 ? FUZZ_ENQUEUE : what & 32 ? FUZZ_REQUEUE : FUZZ_SET_NEXT_FREE;
        action->received = (uint32_t)fuzz_take(input, 1);
        action->reserved = (uint32_t)fuzz_take(input, 1);
    } else {
        action->deed = FUZZ_GIVE_BACK_WITH_HEADROOM;
        action->count = take_count(input);
        action->any_size = (uint32_t)fuzz_take(input, 1) % 128;
    }
}

static void decode_ours(struct fuzz_input *input, struct fuzz_action *action, uint32_t what)
{
    static const enum fuzz_deed deeds[] = {FUZZ_RECEIVE,    FUZZ_RECEIVE, FUZZ_GIVE_BACK,
                                           FUZZ_RESERVE,    FUZZ_RESERVE, FUZZ_SEND,
                                           FUZZ_SET_POLLING};
    if (what % 8 == 7) {
        decode_other(input, action, what);
        return;
    }
    action->deed = deeds[what % 8];
    action->count =
        action->deed == FUZZ_SET_POLLING ? (uint32_t)fuzz_take(input, 1) & 1 : take_count(input);
    if (action->deed == FUZZ_RESERVE || action->deed == FUZZ_SEND)
        take_size(input, action);
}

struct fuzz_action fuzz_decode(struct fuzz_input *input)
{
    struct fuzz_action action = {0};
    uint32_t what = (uint32_t)fuzz_take(input, 1);
    action.reconnect_after_fault = what % 3 == 0;
    if (what & 128)
        decode_peer(input, &action, what & 127);
    else
        decode_ours(input, &action, what & 127);
    return action;
}

const char *fuzz_name(enum fuzz_deed deed)
{
    static const char *const names[] = {
        [FUZZ_RECEIVE] = "receive",
        [FUZZ_GIVE_BACK] = "give back",
        [FUZZ_GIVE_BACK_WITH_HEADROOM] = "give back with headroom",
        [FUZZ_RESERVE] = "reserve",
        [FUZZ_SEND] = "send",
        [FUZZ_SET_POLLING] = "set polling",
        [FUZZ_ENQUEUE] = "enqueue",
        [FUZZ_REQUEUE] = "requeue",
        [FUZZ_SET_NEXT_FREE] = "set next free",
        [FUZZ_TURN] = "the peer's turn",
        [FUZZ_HONEST_MOVE] = "the peer moves honestly",
        [FUZZ_MOVE] = "the peer moves",
        [FUZZ_WRITE_WORD] = "the peer writes a word",
        [FUZZ_WRITE_DESCRIPTOR] = "the peer writes a descriptor",
    };
    return names[deed];
}
