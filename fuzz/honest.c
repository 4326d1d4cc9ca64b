/* SPDX-License-Identifier: Apache-2.0 */

#include "honest.h"

#include <string.h>

/* ---- bytes ---- */

static uint8_t byte_at(uint32_t serial, uint32_t at)
{
    return (uint8_t)(serial * 31 + at * 7 + (at >> 8));
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        hash = hash * 31 + bytes[i] + 1;
    return hash;
}

/* Writes a piece of a packet. */
static void write_bytes(uint8_t *bytes, uint32_t length, uint32_t serial, uint32_t from)
{
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = byte_at(serial, from + i);
}

static uint32_t flags_of(const memif_buffer_t *entry)
{
#ifdef TESTBED_ENTRY_FACE
    return entry->flags & MEMIF_BUFFER_FLAG_NEXT;
#else
    (void)entry;
    return 0;
#endif
}

static uint32_t *length_of(memif_buffer_t *entry)
{
#ifdef TESTBED_ENTRY_FACE
    return &entry->len;
#else
    return &entry->data_len;
#endif
}

/* How many entries the packet that begins at `first` has. */
static uint32_t entries_of(const memif_buffer_t *first, uint32_t held)
{
    uint32_t n = 0;
    while (n < held && flags_of(&first[n++]))
        ;
    return n;
}

static int error_of(int err)
{
#ifdef TESTBED_ENTRY_FACE
    return mif_error_to_v1(err);
#else
    return err;
#endif
}

void fuzz_note_entries(const struct fuzz_variant *variant, enum mif_direction direction,
                       uint32_t count, enum fuzz_promise promise, struct fuzz_outcome *outcome)
{
    uint32_t held = variant->bed.held_count[direction];
    const memif_buffer_t *entry = &variant->bed.held[direction][held - count];
    fuzz_note(outcome, promise, "the number of entries", count);
    for (; count > 0; count--, entry++) {
        fuzz_note(outcome, promise, "an entry's index", entry->desc_index);
        fuzz_note(outcome, promise, "an entry's length", testbed_room(entry));
        fuzz_note(outcome, promise, "an entry's flags", flags_of(entry));
    }
}

/* ---- the peer sends ---- */

/* The index that we have published says what we have given back. */
static void check_published(const struct testbed *bed)
{
    uint64_t done = bed->queue[MIF_RX]->done;
    uint32_t index = (uint32_t)done, slots = testbed_slots(bed);
    if (testbed_is_256(bed))
        index &= slots - 1;
    else if (testbed_is_slave(bed))
        index += slots;
    fuzz_must(atomic_load(testbed_our_index(bed, MIF_RX)) == (uint16_t)index,
              "what is given back is published");
}

/* Slots that the peer can fill. Version 512 has one more than 256, which is left alone. */
static uint32_t room_to_us(const struct fuzz_variant *variant)
{
    check_published(&variant->bed);
    uint32_t room = testbed_peer_room(&variant->bed, MIF_RX);
    return testbed_is_256(&variant->bed) || room == 0 ? room : room - 1;
}

/* Sends one packet in pieces of up to `piece` bytes. False: there is no room. */
static bool peer_sends(struct fuzz_variant *variant, uint32_t length, uint32_t piece)
{
    struct testbed *bed = &variant->bed;
    uint32_t slots = length > piece ? (length + piece - 1) / piece : 1;
    uint32_t at = atomic_load(testbed_peer_index(bed, MIF_RX)), done = 0;
    if (slots > room_to_us(variant))
        return false;
    struct fuzz_packet *packet = &variant->packets[variant->known++];
    *packet = (struct fuzz_packet){.slots = slots, .length = length};
    for (uint32_t i = 0; i < slots; i++) {
        uint32_t part = length - done < piece ? length - done : piece;
        uint32_t slot = (at + i) & (testbed_slots(bed) - 1);
        struct testbed_desc desc = testbed_honest(bed, MIF_RX, slot, part);
        uint8_t *data = bed->regions[desc.region].base + desc.offset;
        write_bytes(data, part, variant->serial, done);
        packet->hash = hash_bytes(packet->hash, data, part);
        desc.flags = i + 1 < slots ? MIF_DESC_NEXT : 0;
        testbed_peer_write(bed, MIF_RX, slot, &desc);
        done += part;
    }
    testbed_peer_move(bed, MIF_RX, slots);
    variant->serial++;
    return true;
}

static void peer_sends_some(struct fuzz_variant *variant, uint32_t count, uint32_t length,
                            bool in_pieces)
{
    uint32_t own = variant->bed.shape.buffer_size, most = 5 * own;
    uint32_t piece = in_pieces ? own / 2 : own;
    for (uint32_t i = 0; i < count; i++)
        if (!peer_sends(variant, (length + i * (own / 4 + 3)) % (most + 1), piece))
            return;
}

/* ---- the peer receives ---- */

static void peer_posts_again(struct testbed *bed, uint32_t slot)
{
    struct testbed_desc desc = testbed_honest(bed, MIF_TX, slot, bed->shape.buffer_size);
    testbed_peer_write(bed, MIF_TX, slot, &desc);
}

/* Takes one packet of ours. False: there is none. */
static bool peer_takes(struct fuzz_variant *variant, struct fuzz_outcome *outcome)
{
    struct testbed *bed = &variant->bed;
    uint32_t mask = testbed_slots(bed) - 1, slots = 0, length = 0;
    uint32_t ours = atomic_load(testbed_our_index(bed, MIF_TX));
    uint32_t range = testbed_is_256(bed) ? mask : 0xFFFF;
    uint32_t filled = (ours - variant->taken) & range;
    uint64_t hash = 0;
    struct mif_desc desc;
    if (filled == 0)
        return false;
    do {
        fuzz_must(slots < filled, "a packet that is published has its end");
        uint32_t slot = (variant->taken + slots++) & mask;
        desc = mif_desc_read(bed->ring[MIF_TX] + 1, slot, bed->shape.kind);
        uint32_t region = (uint16_t)(desc.head >> 16);
        fuzz_must(region < TESTBED_REGIONS && desc.offset <= bed->regions[region].size &&
                      desc.length <= bed->regions[region].size - desc.offset,
                  "what is published lies in a region");
        hash = hash_bytes(hash, bed->regions[region].base + desc.offset, desc.length);
        fuzz_note(outcome, FUZZ_VERSIONS, "the length of a slot", desc.length);
        length += desc.length;
        if (!testbed_is_256(bed) && !testbed_is_slave(bed))
            peer_posts_again(bed, slot);
    } while (mif_desc_has_next(&desc));
    variant->taken = (uint16_t)(variant->taken + slots);
    testbed_peer_move(bed, MIF_TX, slots);
    fuzz_note(outcome, FUZZ_FACES, "the slots of a packet that is sent", slots);
    fuzz_note(outcome, FUZZ_FACES, "the length of a packet that is sent", length);
    fuzz_note(outcome, FUZZ_FACES, "the bytes of a packet that is sent", hash);
    return true;
}

static void peer_takes_some(struct fuzz_variant *variant, uint32_t count,
                            struct fuzz_outcome *outcome)
{
    while (count-- > 0 && peer_takes(variant, outcome))
        ;
}

/* ---- we receive ---- */

/* How many entries of this face `count` packets of the peer's are, from packet `first` on. */
static uint32_t entries_for(const struct fuzz_variant *variant, uint32_t first, uint32_t count)
{
#ifdef TESTBED_ENTRY_FACE
    uint32_t entries = 0;
    for (uint32_t i = first; i < first + count; i++)
        entries += i < variant->known ? variant->packets[i].slots : 1;
    return entries;
#else
    (void)variant;
    (void)first;
    return count;
#endif
}

/* Compares the last `entries` entries with what the peer has sent; returns how many packets. */
static uint32_t check_received(struct fuzz_variant *variant, uint32_t entries,
                               struct fuzz_outcome *outcome)
{
    memif_buffer_t *entry = &variant->bed.held[MIF_RX][variant->bed.held_count[MIF_RX] - entries];
    uint32_t packets = 0;
    while (entries > 0) {
        uint32_t count = entries_of(entry, entries), length = 0;
        uint64_t hash = 0;
        fuzz_must(!flags_of(&entry[count - 1]), "a packet that is received has its end");
        for (uint32_t i = 0; i < count; i++) {
            hash = hash_bytes(hash, entry[i].data, *length_of(&entry[i]));
            length += *length_of(&entry[i]);
        }
        fuzz_note(outcome, FUZZ_FACES, "the length of a packet that is received", length);
        fuzz_note(outcome, FUZZ_FACES, "the bytes of a packet that is received", hash);
        fuzz_must(variant->received < variant->known, "no more is received than was sent");
        const struct fuzz_packet *sent = &variant->packets[variant->received++];
        fuzz_must(length == sent->length && hash == sent->hash, "what is received was sent");
        entry += count;
        entries -= count;
        packets++;
    }
    return packets;
}

static int receive_once(struct fuzz_variant *variant, uint32_t count, uint32_t *packets,
                        struct fuzz_outcome *outcome)
{
    uint16_t entries;
    uint32_t most = entries_for(variant, variant->received, count);
    int err = testbed_receive(&variant->bed, most, &entries);
    fuzz_note(outcome, FUZZ_VERSIONS, "the code", (uint64_t)err);
    fuzz_note_entries(variant, MIF_RX, entries, FUZZ_VERSIONS, outcome);
    *packets = check_received(variant, entries, outcome);
    return err;
}

/* While a program polls, how much a burst looks for depends on how many entries it takes, so that
 * the faces agree only on what all bursts bring. */
static void receive(struct fuzz_variant *variant, uint32_t count, struct fuzz_outcome *outcome)
{
    uint32_t packets = 0, more;
    int code;
    do {
        code = error_of(receive_once(variant, count - packets, &more, outcome));
        packets += more;
    } while (variant->promise == FUZZ_FACES && variant->polling && more > 0 && packets < count);
    if (variant->polling && code == mif_error_to_v1(MIF_ERR_NOBUF))
        code = MIF_ERR_SUCCESS; /* more packets wait */
    fuzz_note(outcome, FUZZ_FACES, "the number of packets that are received", packets);
    fuzz_note(outcome, FUZZ_FACES, "the last code", (uint64_t)code);
}

static void give_back(struct fuzz_variant *variant, uint32_t count, struct fuzz_outcome *outcome)
{
    if (count > variant->received)
        count = variant->received;
    int err = testbed_give_back(&variant->bed, entries_for(variant, 0, count), 0);
    fuzz_note(outcome, FUZZ_FACES, "the code", (uint64_t)error_of(err));
    variant->received -= count;
    variant->known -= count;
    memmove(variant->packets, variant->packets + count,
            variant->known * sizeof(variant->packets[0]));
}

/* ---- we send ---- */

/* A packet that needs the last slot never fits version 256 and may fit 512. */
static uint32_t same_size(const struct testbed *bed, uint32_t size)
{
    uint32_t own = bed->shape.buffer_size, slots = testbed_slots(bed);
    return size > (slots - 1) * own && size <= slots * own ? (slots - 1) * own : size;
}

static void reserve(struct fuzz_variant *variant, uint32_t count, uint32_t size,
                    struct fuzz_outcome *outcome)
{
    struct testbed *bed = &variant->bed;
    uint16_t entries;
    uint32_t packets = 0;
    int err = testbed_reserve(bed, count, same_size(bed, size), &entries);
    fuzz_note(outcome, FUZZ_FACES, "the code", (uint64_t)error_of(err));
    fuzz_note_entries(variant, MIF_TX, entries, FUZZ_VERSIONS, outcome);
    for (uint32_t left = entries; left > 0; packets++)
        left -= entries_of(&bed->held[MIF_TX][bed->held_count[MIF_TX] - left], left);
    fuzz_note(outcome, FUZZ_FACES, "the number of packets that are reserved", packets);
}

/* Sets the length of a reserved packet of `count` entries and writes its bytes. In all faces a
 * packet keeps its slots if its last one is used; the packet face may use fewer. */
static void write_packet(struct fuzz_variant *variant, memif_buffer_t *entry, uint32_t count,
                         uint32_t wanted)
{
    uint32_t own = variant->bed.shape.buffer_size, done = 0;
#ifdef TESTBED_ENTRY_FACE
    uint32_t slots = count;
#else
    uint32_t slots = (entry->buffer_len + own - 1) / own;
    bool shorter = variant->promise != FUZZ_FACES;
#endif
    uint32_t before = (slots - 1) * own;
    uint32_t length = slots > 1 ? before + 1 + wanted % own : wanted % (own + 1);
#ifndef TESTBED_ENTRY_FACE
    if (shorter)
        length = wanted % (slots * own + 1);
    if (length > entry->buffer_len)
        length = entry->buffer_len;
#endif
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part = i + 1 < count ? own : length - done;
        *length_of(&entry[i]) = part;
        write_bytes(entry[i].data, part, variant->serial, done);
        done += part;
    }
    variant->serial++;
}

/* What the program gets wrong. */
static void spoil(const struct fuzz_variant *variant, const struct fuzz_action *action,
                  memif_buffer_t *entries, uint32_t *count)
{
    if (*count == 0)
        return;
    memif_buffer_t *entry = &entries[action->received % *count];
    if (action->deed == FUZZ_ENQUEUE) {
        entry->desc_index |= 0x8000;
    } else if (action->deed == FUZZ_REQUEUE) {
        /* The packet face sends all that there is room for. */
        write_bytes(entry->data, testbed_room(entry), variant->serial, 0);
        *length_of(entry) += 1u << 16;
    } else {
        *count -= action->reserved % *count; /* maybe inside of a packet */
    }
}

static void send(struct fuzz_variant *variant, const struct fuzz_action *action, uint32_t packets,
                 uint32_t size, struct fuzz_outcome *outcome)
{
    static memif_buffer_t entries[FUZZ_MOST_SLOTS];
    struct testbed *bed = &variant->bed;
    uint32_t held = bed->held_count[MIF_TX], count = 0, full;
    uint16_t sent;
    memcpy(entries, bed->held[MIF_TX], held * sizeof(entries[0]));
    for (uint32_t i = 0; i < packets && count < held; i++) {
        uint32_t n = entries_of(&entries[count], held - count);
        write_packet(variant, &entries[count], n, size + i * 5);
        count += n;
    }
    full = count;
    if (action->deed != FUZZ_SEND && variant->promise != FUZZ_FACES)
        spoil(variant, action, entries, &count);
    int err = testbed_send_these(bed, entries, count, &sent);
    fuzz_note(outcome, FUZZ_FACES, "the code", (uint64_t)error_of(err));
    fuzz_note(outcome, FUZZ_VERSIONS, "the number of entries that are sent", sent);
    fuzz_must(err != MIF_ERR_SUCCESS || count < full || sent == count, "all is sent, or an error");
}

/* ---- actions ---- */

/* Where the peer is of version 512, one slot of each ring is never used: the ring is as large as
 * one of 256. As slave we cannot have fewer, so the peer never returns the first. */
void fuzz_honest_begin(struct fuzz_variant *variant)
{
    static struct fuzz_outcome nothing;
    struct testbed *bed = &variant->bed;
    uint16_t n;
    if (bed->shape.kind == MIF_KIND_512_MASTER)
        atomic_store(testbed_peer_index(bed, MIF_TX), (uint16_t)(testbed_slots(bed) - 1));
    (void)testbed_reserve(bed, 1, 1, &n);
    (void)testbed_send(bed, 1, 1, &n);
    if (bed->shape.kind == MIF_KIND_512_SLAVE) {
        variant->taken++;
    } else {
        nothing.count = 0;
        (void)peer_takes(variant, &nothing);
    }
}

void fuzz_honest_act(struct fuzz_variant *variant, const struct fuzz_action *action,
                     struct fuzz_outcome *outcome)
{
    uint32_t size = fuzz_size(action, variant->bed.shape.buffer_size);
    switch (action->deed) {
    case FUZZ_RECEIVE:
        receive(variant, action->count, outcome);
        break;
    case FUZZ_GIVE_BACK:
    case FUZZ_GIVE_BACK_WITH_HEADROOM:
        give_back(variant, action->count, outcome);
        break;
    case FUZZ_RESERVE:
        reserve(variant, action->count, size, outcome);
        break;
    case FUZZ_SEND:
        send(variant, action, action->count, size, outcome);
        break;
    case FUZZ_ENQUEUE:
    case FUZZ_REQUEUE:
    case FUZZ_SET_NEXT_FREE:
        send(variant, action, 1 + action->reserved % 8, action->received, outcome);
        break;
    case FUZZ_SET_POLLING:
        variant->polling = action->count;
        (void)mif_queue_set_polling(variant->bed.handle, 0, (int)action->count);
        break;
    case FUZZ_TURN:
        peer_sends_some(variant, FUZZ_MOST_SLOTS, action->any_size, action->transmit);
        peer_takes_some(variant, FUZZ_MOST_SLOTS, outcome);
        break;
    case FUZZ_HONEST_MOVE:
    case FUZZ_MOVE:
        if (action->transmit)
            peer_takes_some(variant, action->count % 16, outcome);
        else
            peer_sends_some(variant, 1 + action->count % 16, action->count, false);
        break;
    case FUZZ_WRITE_WORD:
        peer_sends_some(variant, 1 + action->count % 4, (uint32_t)action->word & 0xFFF, true);
        break;
    case FUZZ_WRITE_DESCRIPTOR:
        peer_sends_some(variant, 1, action->desc.length * (1 + action->desc.slot % 4),
                        action->transmit);
        break;
    }
}
