/* SPDX-License-Identifier: Apache-2.0 */

#include "scene.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const uint32_t places[PLACES] = {0, 1, 6, 37, SLOTS - 2};
const uint32_t bursts[BURSTS] = {1, 8, 32, 256};

bool shape_of(int way, struct testbed_shape *shape)
{
    *shape = (struct testbed_shape){
        .kind = (enum mif_kind)(way % KINDS),
        .vectors = way >= KINDS,
        .log2_ring_size = LOG2_SLOTS,
        .buffer_size = BUFFER,
    };
    return !shape->vectors || testbed_has_vectors();
}

/* ---- honest traffic ---- */

void exchange(struct testbed *bed, uint32_t burst)
{
    uint16_t n, total = 0;

    testbed_peer_turn(bed, 60);
    do {
        ck_assert_int_ne(testbed_receive(bed, burst, &n), MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
        total = (uint16_t)(total + n);
        ck_assert_int_eq(testbed_give_back(bed, burst, 0), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    } while (n > 0);
    ck_assert_uint_eq(total, mif_capacity(bed->queue[MIF_RX], bed->shape.kind));
    do {
        (void)testbed_reserve(bed, burst, BUFFER, &n);
        ck_assert_int_eq(testbed_send(bed, burst, 60, &n), MIF_FACE_ERROR(MIF_ERR_SUCCESS));
    } while (n > 0);
    ck_assert_ptr_null(testbed_fault(bed));
}

void scene_open(struct scene *scene, const struct testbed_shape *shape)
{
    testbed_open(&scene->bed, shape);
    testbed_open(&scene->other, shape);
    exchange(&scene->bed, 32);
}

void scene_close(struct scene *scene)
{
    exchange(&scene->other, 32);
    testbed_close(&scene->bed);
    testbed_close(&scene->other);
}

void start_anew(struct testbed *bed)
{
    testbed_disconnect(bed);
    testbed_connect(bed);
    exchange(bed, 256);
}

uint32_t receive_all(struct testbed *bed, uint32_t burst)
{
    uint32_t total = 0;
    uint16_t n;
    int err;

    do {
        err = testbed_receive(bed, burst, &n);
        total += n;
    } while (n > 0 && err != MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    if (testbed_fault(bed) != NULL)
        ck_assert_int_eq(err, MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    return total;
}

uint32_t reserve_all(struct testbed *bed, uint32_t burst, uint32_t size)
{
    uint32_t total = 0;
    uint16_t n;
    int err;

    do {
        err = testbed_reserve(bed, burst, size, &n);
        total += n;
    } while (n > 0 && err != MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    if (testbed_fault(bed) != NULL)
        ck_assert_int_eq(err, MIF_FACE_ERROR(MIF_ERR_DISCONNECTED));
    return total;
}

void expect_fault(const struct testbed *bed, const char *reason)
{
    const char *found = testbed_fault(bed);

    if (reason == NULL)
        ck_assert_msg(found == NULL, "found fault with an honest peer: %s", found);
    else
        ck_assert_msg(found != NULL && strcmp(found, reason) == 0, "found %s, expected %s",
                      found == NULL ? "nothing" : found, reason);
}

/* ---- descriptors ---- */

/* Offsets are cut to 32 bits in version 512. */
static const struct testbed_desc table[] = {
    {.region = TESTBED_HOLE, .length = 60},
    {.region = TESTBED_REGIONS, .length = 60},
    {.region = 255, .length = 60},
    {.region = 65535, .length = 60},
    {.region = TESTBED_SMALL, .length = 60, .offset = 4096},
    {.region = TESTBED_SMALL, .length = 60, .offset = 4096 - 59},
    {.region = TESTBED_SMALL, .length = 60, .offset = 4096 - 60},
    {.region = TESTBED_SMALL, .length = 4097, .offset = 0},
    {.region = TESTBED_SMALL, .length = 4096, .offset = 0},
    {.region = TESTBED_SMALL, .length = 60, .offset = MOST_64},
    {.region = TESTBED_SMALL, .length = 60, .offset = MOST_64 - 59},
    {.region = TESTBED_SMALL, .length = 60, .offset = (uint64_t)1 << 63},
    {.region = TESTBED_SMALL, .length = 60, .offset = (uint64_t)1 << 32},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = 0},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = 1},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = MOST_64},
    {.region = TESTBED_SMALL, .length = MOST_32, .offset = MOST_32},
    {.region = TESTBED_SMALL, .length = 1u << 31, .offset = 1u << 31},
    {.region = TESTBED_SMALL, .length = 0, .offset = 0},
    {.region = TESTBED_SMALL, .length = 0, .offset = 4096},
    {.region = TESTBED_SMALL, .length = 0, .offset = 4097},
    {.region = TESTBED_SMALL, .length = 1, .offset = 4095},
    {.region = TESTBED_RINGS, .length = 1000, .offset = 3},
    {.region = TESTBED_BUFFERS, .length = BUFFER, .offset = 0},
    {.region = TESTBED_BUFFERS, .length = BUFFER + 1, .offset = 0},
    {.region = TESTBED_SMALL, .length = MIF_MAX_PACKET, .offset = 0},
    {.region = TESTBED_HOLE, .length = 0, .offset = 0},
    {.flags = 0xFFFE, .region = TESTBED_BUFFERS, .length = 60, .offset = 0},
};
enum { TABLE = sizeof(table) / sizeof(*table) };
_Static_assert(HOSTILE == 2 * TABLE, "each descriptor once in either region");

struct testbed_desc hostile(const struct testbed *bed, size_t i)
{
    struct testbed_desc desc = table[i % TABLE];
    uint64_t size = bed->regions[TESTBED_BUFFERS].size;

    if (i < TABLE || desc.region != TESTBED_SMALL)
        return desc;
    desc.region = TESTBED_BUFFERS;
    if (desc.offset >= 4000 && desc.offset <= 4200)
        desc.offset += size - 4096;
    if (desc.length >= 4000 && desc.length <= 4200)
        desc.length += (uint32_t)size - 4096;
    return desc;
}

static bool is_in_region(const struct testbed *bed, const struct testbed_desc *desc)
{
    uint64_t offset = testbed_is_256(bed) ? desc->offset : desc->offset & MOST_32;
    unsigned __int128 end = (unsigned __int128)offset + desc->length;

    return desc->region < TESTBED_REGIONS && bed->regions[desc->region].size > 0 &&
           end <= bed->regions[desc->region].size;
}

const char *too_long(uint64_t length, uint32_t most)
{
    static char text[80];

    (void)snprintf(text, sizeof(text), "packet of %llu bytes or more, expected at most %u",
                   (unsigned long long)length, most);
    return text;
}

const char *wrong_with_packet(const struct testbed *bed, const struct testbed_desc *desc)
{
    bool good = testbed_is_slave(bed) ? desc->length <= BUFFER : is_in_region(bed, desc);

    if (desc->length > MIF_MAX_PACKET)
        return too_long(desc->length, MIF_MAX_PACKET);
    return good ? NULL : "descriptor out of range";
}

const char *wrong_with_buffer(const struct testbed *bed, const struct testbed_desc *desc)
{
    bool good = testbed_is_slave(bed) || (desc->length > 0 && is_in_region(bed, desc));

    return good ? NULL : "posted buffer out of range or empty";
}

void spoil(const struct testbed *bed, enum mif_direction direction, uint32_t at,
           const struct testbed_desc *desc)
{
    uint16_t index = atomic_load(testbed_peer_index(bed, direction));
    uint32_t ours = direction == MIF_TX && testbed_is_256(bed)
                        ? atomic_load(testbed_our_index(bed, direction))
                        : index;

    testbed_peer_turn(bed, 60);
    testbed_peer_write(bed, direction, (ours + at) & (SLOTS - 1), desc);
}

void begin_endless(const struct testbed *bed, uint32_t count, uint32_t length)
{
    uint16_t at = atomic_load(testbed_peer_index(bed, MIF_RX));

    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (at + i) & (SLOTS - 1);
        struct testbed_desc desc = testbed_honest(bed, MIF_RX, slot, length);
        desc.flags = MIF_DESC_NEXT;
        testbed_peer_write(bed, MIF_RX, slot, &desc);
    }
    testbed_peer_move(bed, MIF_RX, count);
}

bool is_signalled(int efd)
{
    struct pollfd poller = {.fd = efd, .events = POLLIN};

    return poll(&poller, 1, 0) == 1;
}

void make_blocking(int efd, bool blocking)
{
    ck_assert_int_eq(fcntl(efd, F_SETFL, blocking ? 0 : O_NONBLOCK), 0);
}

void saturate(int efd)
{
    const uint64_t most = MOST_64 - 1;
    uint64_t was;

    make_blocking(efd, false);
    (void)!read(efd, &was, sizeof(was));
    (void)!write(efd, &most, sizeof(most));
    make_blocking(efd, true);
}
