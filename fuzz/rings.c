/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fuzzing target: the input is a program of our bursts and of the peer's writes into the shared
 * memory. What must hold is checked after every burst, in c_tests/support/rig.c. Compiled once for
 * each face.
 */

#include "rig.h"

#include <stddef.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_LOG2 = 6, SMALL = 64, LARGE = 2048 };

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

/* The next bytes as a number; zeroes after the end. */
static uint64_t take(struct input *input, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && input->at != input->end; i++)
        value |= (uint64_t)*input->at++ << 8 * i;
    return value;
}

/* Small counts mostly, and those that the loops treat in their own way. */
static uint32_t take_count(struct input *input)
{
    static const uint16_t counts[] = {1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 64, 100, 256, 0, 5};
    return counts[take(input, 1) % 16];
}

static uint32_t take_size(struct input *input, const struct rig *rig)
{
    uint32_t own = rig->shape.buffer_size;
    const uint32_t sizes[] = {0, 1, own, own + 1, 3 * own, 65535, own - 1, 2 * own};
    uint32_t which = (uint32_t)take(input, 1);
    return which < 128 ? sizes[which % 8] : (uint32_t)take(input, 2);
}

static struct rig_shape take_shape(struct input *input)
{
    uint32_t bits = (uint32_t)take(input, 2);
    return (struct rig_shape){
        .kind = (enum mif_kind)(bits % 4),
        .vectors = (bits & 4) != 0 && rig_has_vectors(),
        .interrupt = (bits & 8) != 0,
        .untrusted = (bits & 16) != 0,
        .log2_ring_size = (uint8_t)(1 + (bits >> 5) % MOST_LOG2),
        .buffer_size = (bits & 256) != 0 ? SMALL : LARGE,
    };
}

/* A descriptor of which each field is good, or near an edge, or anything. */
static void write_descriptor(struct input *input, struct rig *rig, enum mif_direction direction)
{
    uint32_t slot = (uint32_t)take(input, 1) & (rig_slots(rig) - 1);
    struct rig_desc desc = rig_honest(rig, direction, slot, (uint32_t)take(input, 1));
    uint32_t odd = (uint32_t)take(input, 1);
    if (odd & 1)
        desc.flags = (uint16_t)take(input, 1);
    if (odd & 2)
        desc.region = (uint16_t)(take(input, 1) % (RIG_REGIONS + 2));
    if (odd & 4)
        desc.length = (uint32_t)take(input, odd & 64 ? 4 : 2);
    if (odd & 8)
        desc.offset = take(input, odd & 128 ? 8 : 2);
    if (odd & 16 && desc.region < RIG_REGIONS)
        desc.offset = rig->regions[desc.region].size - desc.length + take(input, 1) - 128;
    if (odd & 32)
        desc.length = (uint32_t)0 - (uint32_t)take(input, 1);
    rig_peer_write(rig, direction, slot, &desc);
}

/* Any word of the rings, our own indices and the headers among them. */
static void write_word(struct input *input, struct rig *rig)
{
    size_t words = rig->regions[RIG_RINGS].size / sizeof(uint64_t);
    uint64_t *at = (uint64_t *)(void *)rig->regions[RIG_RINGS].base + take(input, 2) % words;
    __atomic_store_n(at, take(input, 8), __ATOMIC_RELAXED);
}

static void peer_acts(struct input *input, struct rig *rig, uint32_t what)
{
    enum mif_direction direction = what & 1 ? MIF_TX : MIF_RX;
    uint32_t room = rig_peer_room(rig, direction);
    switch (what / 2 % 8) {
    case 0:
        rig_peer_turn(rig, (uint32_t)take(input, 1));
        break;
    case 1:
        rig_peer_move(rig, direction, room > 0 ? (uint32_t)take(input, 1) % (room + 1) : 0);
        break;
    case 2:
        rig_peer_move(rig, direction, (uint32_t)take(input, 2));
        break;
    case 3:
        write_word(input, rig);
        break;
    default:
        write_descriptor(input, rig, direction);
        break;
    }
}

#ifdef RIG_ENTRY_FACE
/* What only the 4.0 interface can do. Entries may be any that are held. */
static void move_buffers(struct input *input, struct rig *rig, uint32_t what)
{
    uint32_t received = rig->held_count[MIF_RX], reserved = rig->held_count[MIF_TX];
    uint16_t n;
    if (what & 1 && received > 0) {
        memif_buffer_t *buf = &rig->held[MIF_RX][take(input, 1) % received];
        (void)mif_entry_enqueue(rig->handle, 0, buf, 1, &n);
    } else if (what & 2 && received > 0 && reserved > 0) {
        (void)mif_entry_requeue(rig->handle, &rig->held[MIF_RX][take(input, 1) % received],
                                &rig->held[MIF_TX][take(input, 1) % reserved]);
    } else if (reserved > 0) {
        (void)mif_entry_set_next_free(rig->handle, 0,
                                      &rig->held[MIF_TX][take(input, 1) % reserved]);
    }
    rig_moved(rig);
}
#endif

static void we_act(struct input *input, struct rig *rig, uint32_t what)
{
    uint16_t n;
    switch (what % 8) {
    case 0:
    case 1:
        (void)rig_receive(rig, take_count(input), &n);
        break;
    case 2:
        (void)rig_give_back(rig, take_count(input), 0);
        break;
    case 3:
    case 4:
        (void)rig_reserve(rig, take_count(input), take_size(input, rig), &n);
        break;
    case 5:
        (void)rig_send(rig, take_count(input), take_size(input, rig), &n);
        break;
    case 6:
        (void)mif_queue_set_polling(rig->handle, 0, (int)take(input, 1) & 1);
        break;
    default:
#ifdef RIG_ENTRY_FACE
        if (what & 8)
            move_buffers(input, rig, what / 16);
        else
            (void)rig_give_back(rig, take_count(input), (uint32_t)take(input, 1) % 128);
#endif
        break;
    }
}

/* Mapping memory takes far longer than running a program: it stays for the next ones. */
static struct rig *connect_one(const struct rig_shape *shape)
{
    static struct rig rigs[4][2][MOST_LOG2 + 1];
    struct rig *rig = &rigs[shape->kind][shape->buffer_size == LARGE][shape->log2_ring_size];
    if (rig->held[0] == NULL) {
        rig_open(rig, shape);
        return rig;
    }
    rig->shape = *shape;
    memset(rig->regions[RIG_RINGS].base, 0, rig->regions[RIG_RINGS].size);
    rig_connect(rig);
    return rig;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.at = data, .end = data + size};
    struct rig_shape shape = take_shape(&input);
    struct rig *rig = connect_one(&shape);
    while (input.at != input.end) {
        uint32_t what = (uint32_t)take(&input, 1);
        if (what & 128)
            peer_acts(&input, rig, what & 127);
        else
            we_act(&input, rig, what & 127);
        if (rig_fault(rig) != NULL && what % 3 == 0) {
            rig_disconnect(rig);
            rig_connect(rig);
        }
    }
    rig_disconnect(rig);
    return 0;
}
