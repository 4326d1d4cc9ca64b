/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A fuzzing target. The input is a sequence of our bursts and of the peer's writes to the shared
 * memory. devtools/testbed/testbed.c checks after every burst what must be true. This file is
 * compiled once for each face.
 */

#include "testbed/testbed.h"

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

/* Mostly small counts, and counts that the loops handle specially. */
static uint32_t take_count(struct input *input)
{
    static const uint16_t counts[] = {1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 64, 100, 256, 0, 5};
    return counts[take(input, 1) % 16];
}

static uint32_t take_size(struct input *input, const struct testbed *bed)
{
    uint32_t own = bed->shape.buffer_size;
    const uint32_t sizes[] = {0, 1, own, own + 1, 3 * own, 65535, own - 1, 2 * own};
    uint32_t which = (uint32_t)take(input, 1);
    return which < 128 ? sizes[which % 8] : (uint32_t)take(input, 2);
}

static struct testbed_shape take_shape(struct input *input)
{
    uint32_t bits = (uint32_t)take(input, 2);
    return (struct testbed_shape){
        .kind = (enum mif_kind)(bits % 4),
        .vectors = (bits & 4) != 0 && testbed_has_vectors(),
        .interrupt = (bits & 8) != 0,
        .untrusted = (bits & 16) != 0,
        .log2_ring_size = (uint8_t)(1 + (bits >> 5) % MOST_LOG2),
        .buffer_size = (bits & 256) != 0 ? SMALL : LARGE,
    };
}

/* Writes a descriptor. Each field has a good value, one near a limit, or any value. */
static void write_descriptor(struct input *input, struct testbed *bed, enum mif_direction direction)
{
    uint32_t slot = (uint32_t)take(input, 1) & (testbed_slots(bed) - 1);
    struct testbed_desc desc = testbed_honest(bed, direction, slot, (uint32_t)take(input, 1));
    uint32_t odd = (uint32_t)take(input, 1);
    if (odd & 1)
        desc.flags = (uint16_t)take(input, 1);
    if (odd & 2)
        desc.region = (uint16_t)(take(input, 1) % (TESTBED_REGIONS + 2));
    if (odd & 4)
        desc.length = (uint32_t)take(input, odd & 64 ? 4 : 2);
    if (odd & 8)
        desc.offset = take(input, odd & 128 ? 8 : 2);
    if (odd & 16 && desc.region < TESTBED_REGIONS)
        desc.offset = bed->regions[desc.region].size - desc.length + take(input, 1) - 128;
    if (odd & 32)
        desc.length = (uint32_t)0 - (uint32_t)take(input, 1);
    testbed_peer_write(bed, direction, slot, &desc);
}

/* Overwrites any word of the rings, including our own indices and the headers. */
static void write_word(struct input *input, struct testbed *bed)
{
    size_t words = bed->regions[TESTBED_RINGS].size / sizeof(uint64_t);
    uint64_t *at = (uint64_t *)(void *)bed->regions[TESTBED_RINGS].base + take(input, 2) % words;
    __atomic_store_n(at, take(input, 8), __ATOMIC_RELAXED);
}

static void peer_acts(struct input *input, struct testbed *bed, uint32_t what)
{
    enum mif_direction direction = what & 1 ? MIF_TX : MIF_RX;
    uint32_t room = testbed_peer_room(bed, direction);
    switch (what / 2 % 8) {
    case 0:
        testbed_peer_turn(bed, (uint32_t)take(input, 1));
        break;
    case 1:
        testbed_peer_move(bed, direction, room > 0 ? (uint32_t)take(input, 1) % (room + 1) : 0);
        break;
    case 2:
        testbed_peer_move(bed, direction, (uint32_t)take(input, 2));
        break;
    case 3:
        write_word(input, bed);
        break;
    default:
        write_descriptor(input, bed, direction);
        break;
    }
}

#ifdef TESTBED_ENTRY_FACE
/* Calls that only the 4.0 API has. They take any entry that we hold. */
static void move_buffers(struct input *input, struct testbed *bed, uint32_t what)
{
    uint32_t received = bed->held_count[MIF_RX], reserved = bed->held_count[MIF_TX];
    uint16_t n;
    if (what & 1 && received > 0) {
        memif_buffer_t *buf = &bed->held[MIF_RX][take(input, 1) % received];
        (void)mif_entry_enqueue(bed->handle, 0, buf, 1, &n);
    } else if (what & 2 && received > 0 && reserved > 0) {
        (void)mif_entry_requeue(bed->handle, &bed->held[MIF_RX][take(input, 1) % received],
                                &bed->held[MIF_TX][take(input, 1) % reserved]);
    } else if (reserved > 0) {
        (void)mif_entry_set_next_free(bed->handle, 0,
                                      &bed->held[MIF_TX][take(input, 1) % reserved]);
    }
    testbed_moved(bed);
}
#endif

static void we_act(struct input *input, struct testbed *bed, uint32_t what)
{
    uint16_t n;
    switch (what % 8) {
    case 0:
    case 1:
        (void)testbed_receive(bed, take_count(input), &n);
        break;
    case 2:
        (void)testbed_give_back(bed, take_count(input), 0);
        break;
    case 3:
    case 4:
        (void)testbed_reserve(bed, take_count(input), take_size(input, bed), &n);
        break;
    case 5:
        (void)testbed_send(bed, take_count(input), take_size(input, bed), &n);
        break;
    case 6:
        (void)mif_queue_set_polling(bed->handle, 0, (int)take(input, 1) & 1);
        break;
    default:
#ifdef TESTBED_ENTRY_FACE
        if (what & 8)
            move_buffers(input, bed, what / 16);
        else
            (void)testbed_give_back(bed, take_count(input), (uint32_t)take(input, 1) % 128);
#endif
        break;
    }
}

/* Mapping memory takes far longer than running an input, so the memory is kept for the next ones.
 */
static struct testbed *connect_one(const struct testbed_shape *shape)
{
    static struct testbed beds[4][2][MOST_LOG2 + 1];
    struct testbed *bed = &beds[shape->kind][shape->buffer_size == LARGE][shape->log2_ring_size];
    if (bed->held[0] == NULL) {
        testbed_open(bed, shape);
        return bed;
    }
    bed->shape = *shape;
    memset(bed->regions[TESTBED_RINGS].base, 0, bed->regions[TESTBED_RINGS].size);
    testbed_connect(bed);
    return bed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.at = data, .end = data + size};
    struct testbed_shape shape = take_shape(&input);
    struct testbed *bed = connect_one(&shape);
    while (input.at != input.end) {
        uint32_t what = (uint32_t)take(&input, 1);
        if (what & 128)
            peer_acts(&input, bed, what & 127);
        else
            we_act(&input, bed, what & 127);
        if (testbed_fault(bed) != NULL && what % 3 == 0) {
            testbed_disconnect(bed);
            testbed_connect(bed);
        }
    }
    testbed_disconnect(bed);
    return 0;
}
