# SPDX-License-Identifier: Apache-2.0
"""The faults that are put into the sources, one after another; a proof has to find each.

What a proof does not notice it does not show.
"""

from __future__ import annotations

from dataclasses import replace

from cbmc.fault import Fault
from cbmc.proof import Proof

RX = Proof("packet", 512, "master", "rx")
RX_256 = Proof("packet", 256, "master", "rx")
GIVE_BACK = Proof("packet", 512, "master", "give_back")
RESERVE = Proof("packet", 512, "master", "reserve")
TX = Proof("packet", 512, "slave", "tx")
REFILL = Proof("entry", 512, "slave", "give_back")

FAST, ENGINE, RING = "datapath/fast_path.h", "datapath/engine.h", "core/ring.h"
PACKET, ENTRY = "datapath/packet_fast_path.h", "datapath/entry_fast_path.h"
TX_ONE = """    mif_desc_fill(q->descs, slot, own, 0, length, kind);
    mif_store(&q->done, done + 1);
    mif_store(&q->bytes, q->bytes + length);
    mif_publish_done(q, done + 1, false, kind);
"""

ONCE = (
    Fault(
        "the peer's index may be one too large",
        RING,
        "(uint32_t)q->done - (uint32_t)limit + mif_capacity(q, kind)))",
        "(uint32_t)q->done - (uint32_t)limit + mif_capacity(q, kind) + 1))",
        RX,
    ),
    Fault(
        "the peer's index of version 256 may be one too large",
        RING,
        "MIF_UNLIKELY(raw > q->mask)",
        "MIF_UNLIKELY(raw > q->mask + 1)",
        RX_256,
    ),
    Fault(
        "a run may be one slot too long",
        RING,
        "(uint32_t)q->mask + 1 - ((uint32_t)counter & q->mask)",
        "(uint32_t)q->mask + 2 - ((uint32_t)counter & q->mask)",
        RX,
    ),
    Fault(
        "a receiving slave publishes one ring too few",
        RING,
        "kind == MIF_KIND_512_SLAVE ? done + q->mask + 1 : done",
        "kind == MIF_KIND_512_SLAVE ? done + q->mask : done",
        Proof("packet", 512, "slave", "give_back"),
    ),
    Fault(
        "the end of a packet is not checked",
        ENGINE,
        "return desc->offset + desc->length <= cache->size;",
        "return desc->offset <= cache->size;",
        RX,
    ),
    Fault(
        "the end of a packet of version 256 may overflow",
        ENGINE,
        "desc->offset <= cache->size - desc->length;",
        "desc->offset + desc->length <= cache->size;",
        RX_256,
    ),
    Fault(
        "an offset is read again after it was checked",
        FAST,
        "    *data = cache->base + desc.offset;\n",
        "    *data = cache->base + mif_desc_read(descs, slot, kind).offset;\n",
        RX,
    ),
    Fault(
        "a length is read again after it was checked",
        FAST,
        "    *length = desc.length;\n",
        "    *length = mif_desc_read(descs, slot, kind).length;\n",
        RX_256,
    ),
    Fault(
        "a slave does not check a length",
        FAST,
        "return MIF_LIKELY(desc.length <= mif_slot_capacity(own) - headroom);",
        "return true;",
        Proof("packet", 512, "slave", "rx"),
    ),
    Fault(
        "a burst takes more packets than were asked for",
        FAST,
        "    if (known > count)\n        known = count;\n",
        "",
        RX,
    ),
    Fault(
        "packets of several slots are given back as one slot",
        PACKET,
        "MIF_UNLIKELY(q->chains > 0 || q->next == done || buf->desc_index != slot)",
        "MIF_UNLIKELY(q->next == done || buf->desc_index != slot)",
        GIVE_BACK,
    ),
    Fault(
        "what was not received is given back",
        PACKET,
        "MIF_UNLIKELY(q->chains > 0 || q->next == done || buf->desc_index != slot)",
        "MIF_UNLIKELY(q->chains > 0 || buf->desc_index != slot)",
        GIVE_BACK,
    ),
    Fault(
        "a bounce buffer stays recorded after it was freed",
        "datapath/chain.c",
        "    chain->bounce = NULL;\n    chain->count = 0;\n",
        "    chain->count = 0;\n",
        Proof("packet", 512, "master", "give_back_rest"),
    ),
    Fault(
        "a buffer of no bytes may be posted",
        FAST,
        "cache->head || desc.length == 0 ||",
        "cache->head ||",
        RESERVE,
    ),
    Fault(
        "a posted buffer is not recorded",
        FAST,
        "    *own = *room;\n",
        "",
        RESERVE,
    ),
    Fault(
        "a length that is sent is not checked",
        PACKET,
        "buf->desc_index == slot && *length <= mif_slot_capacity(own)",
        "buf->desc_index == slot",
        TX,
    ),
    Fault(
        "a sent packet is not published",
        FAST,
        TX_ONE,
        TX_ONE.replace("q, done + 1, false", "q, done, false"),
        TX,
    ),
    Fault(
        "a descriptor is written after it was published",
        FAST,
        TX_ONE,
        "".join(TX_ONE.splitlines(keepends=True)[i] for i in (1, 2, 3, 0)),
        TX,
    ),
    Fault(
        "the headroom is not compared with the buffer",
        ENTRY,
        "(mif_kind_is_256(kind) || headroom >= q->buffer_size)",
        "mif_kind_is_256(kind)",
        REFILL,
    ),
    Fault(
        "more buffers are posted than were received",
        ENTRY,
        "count > consumed ? (uint32_t)consumed : count;",
        "count;",
        REFILL,
    ),
    Fault(
        "an entry inside a packet is taken back",
        "datapath/entry.c",
        "    if (!mif_begins_unsent(q, at))\n",
        "    if (false)\n",
        Proof("entry", 512, "slave", "take_back"),
    ),
    # The slow parts.
    Fault(
        "the lengths of a packet's slots are not added up",
        "datapath/packet.c",
        "desc.length > mif_max_packet(q) - *length",
        "desc.length > mif_max_packet(q)",
        Proof("packet", 512, "master", "take_chain"),
    ),
    Fault(
        "a packet after one of several slots is written behind the array",
        "datapath/packet.c",
        "step != MIF_STEP_OK || *n == count || q->next == q->limit",
        "step != MIF_STEP_OK || q->next == q->limit",
        Proof("packet", 512, "master", "take_other"),
    ),
    Fault(
        "a packet has more entries than the array",
        "datapath/entry.c",
        "if (*n + i == count) {",
        "if (*n + i == count + 1) {",
        Proof("entry", 512, "master", "take_packet"),
    ),
    Fault(
        "a packet follows when none waits",
        "datapath/entry.c",
        "*n < count && q->next != q->limit);",
        "*n < count);",
        Proof("entry", 512, "master", "take_other"),
    ),
    Fault(
        "a receive burst goes on when the array is full",
        FAST,
        "        if (room == 0)\n            return MIF_STEP_FULL;\n",
        "",
        Proof("packet", 512, "master", "rx_rest"),
    ),
    Fault(
        "a packet is reserved with one slot more than it has",
        "datapath/packet.c",
        "mif_store(&q->next, q->next + room.count);",
        "mif_store(&q->next, q->next + room.count + 1);",
        Proof("packet", 512, "master", "reserve_other"),
    ),
    Fault(
        "an entry of a bounced packet is as long as any",
        "datapath/entry.c",
        "last ? left : q->buffer_size,",
        "q->buffer_size,",
        Proof("entry", 512, "master", "reserve_other"),
    ),
    Fault(
        "a posted buffer of a packet may have no bytes",
        ENGINE,
        "return MIF_LIKELY(data != NULL && capacity > 0);",
        "return MIF_LIKELY(data != NULL);",
        Proof("packet", 512, "master", "claim_slot"),
    ),
    Fault(
        "refused entries are taken back but stay refused",
        "datapath/chain.c",
        "    mif_store(&q->next, from);\n    q->order->refused = 0;\n",
        "    mif_store(&q->next, from);\n",
        Proof("packet", 512, "master", "unreserve_refused"),
    ),
    Fault(
        "a packet of several slots is sent longer than reserved",
        "datapath/packet.c",
        "left > chain->length || first + last",
        "first + last",
        Proof("packet", 512, "slave", "fill_next"),
    ),
    Fault(
        "an entry of a packet is not the program's",
        "datapath/entry.c",
        "if (n == most || !is_sendable",
        "if (!is_sendable",
        Proof("entry", 512, "slave", "fill_next"),
    ),
    Fault(
        "packets behind the array are sent",
        "datapath/entry.c",
        "} while (filled > 1 && n < count);",
        "} while (filled > 1);",
        Proof("entry", 512, "slave", "fill_other"),
    ),
    Fault(
        "a send burst counts what it has filled twice",
        FAST,
        "mif_fill_other(q, bufs + n, left - filled, &err)",
        "mif_fill_other(q, bufs + n, left, &err)",
        Proof("packet", 512, "master", "tx_rest"),
    ),
    Fault(
        "a spare buffer that is too small is used",
        "core/bounce.c",
        "if (bounce != NULL && bounce->capacity >= length)",
        "if (bounce != NULL)",
        Proof("bounce", 512, "master", "take"),
    ),
    Fault(
        "spare bytes are not counted",
        "core/bounce.c",
        "    order->spare_bytes += bounce->capacity;\n",
        "",
        Proof("bounce", 512, "master", "give_back"),
    ),
    Fault(
        "a question for room is looked for beside the other index",
        "core/room.c",
        "return index == &ring->head ? &ring->head_ask",
        "return index != &ring->head ? &ring->head_ask",
        Proof("room", 512, "master", "asked"),
    ),
    Fault(
        "a receive burst drains and looks for packets without end",
        "datapath/face.h",
        "if (n == count || drained)",
        "if (n == count)",
        Proof("packet", 512, "master", "rx_interrupt"),
    ),
    Fault(
        "slots of a packet count as contiguous wherever they lie",
        "datapath/chain.c",
        "(found.count == 0 || own->data == end);",
        "(found.count == 0 || own->data != NULL);",
        Proof("packet", 512, "master", "measure"),
    ),
    Fault(
        "a packet that is moved is longer than its room",
        "datapath/packet.c",
        "buf->data_len < most ? buf->data_len : most);",
        "buf->data_len);",
        Proof("packet", 512, "slave", "fill_checked"),
    ),
    Fault(
        "a nap after a wait of days is any number",
        "core/room.c",
        "if (each > LONGEST_NAP)",
        "if (false)",
        Proof("sender", 512, "master", "nap_for"),
    ),
    Fault(
        "a sender asks with an index that its ring has",
        "core/room.c",
        "q->own_index, impossible(index, kind), memory_order_release",
        "q->own_index, index, memory_order_release",
        Proof("sender", 256, "slave", "ask"),
    ),
    Fault(
        "a question stays after the wait",
        "core/room.c",
        "    int err = wait_for(&w, timeout_ms);\n    withdraw(&w);\n",
        "    int err = wait_for(&w, timeout_ms);\n",
        Proof("sender", 512, "master", "wait"),
    ),
    Fault(
        "a descriptor stays open when no thread could be started",
        "core/room.c",
        "    if (own->fd >= 0)\n        (void)close(own->fd);\n",
        "",
        Proof("sender", 512, "master", "watch"),
    ),
    Fault(
        "a queue that went down answers",
        "datapath/face.h",
        "if (q != NULL) {\n        mif_room_answer(q);",
        "if (true) {\n        mif_room_answer(q);",
        Proof("packet", 512, "slave", "give_back_answering"),
    ),
    Fault(
        "a queue id has more bits than the arena",
        "core/arena.h",
        "(uint8_t)qid * arena->qid_stride",
        "qid * arena->qid_stride",
        Proof("arena", 512, "master", "enter"),
    ),
    Fault(
        "a queue is entered without a second look at its owner",
        "core/arena.h",
        "if (__builtin_expect(atomic_load_explicit(&q->owner, memory_order_acquire) != owner, 0))",
        "if (false)",
        Proof("arena", 512, "master", "enter"),
    ),
    Fault(
        "an entry may name the middle of a queue",
        "core/arena.h",
        " || at % sizeof(struct mif_queue) != 0)",
        ")",
        Proof("arena", 512, "master", "enter_queue"),
    ),
    Fault(
        "a handle has more cells than the arena",
        "core/arena.h",
        "((uintptr_t)handle & mif_the_arena()->cell_mask) >> MIF_CELL_SHIFT",
        "((uintptr_t)handle & 0x1FFFFF) >> MIF_CELL_SHIFT",
        Proof("arena", 512, "master", "lookup"),
    ),
    Fault(
        "the owner of a queue is its handle with some bits of the queue id",
        "core/arena.h",
        "return (uintptr_t)handle + (qid + 1);",
        "return (uintptr_t)handle + ((uint8_t)qid + 1);",
        Proof("arena", 512, "master", "owner"),
    ),
    Fault(
        "a buffer is moved to another interface at any size",
        "datapath/entry.c",
        "if (mif_slot_capacity(&to_a) != mif_slot_capacity(&to_b) || region_a < 0 || region_b < 0)",
        "if (region_a < 0 || region_b < 0)",
        Proof("exchange", 512, "slave", "requeue"),
    ),
    Fault(
        "the end of a buffer is not looked for in the other interface's regions",
        "datapath/entry.c",
        "at <= r->size - mif_slot_capacity(slot))",
        "at <= r->size)",
        Proof("exchange", 512, "slave", "requeue"),
    ),
    Fault(
        "buffers that were exchanged still count as an array",
        "datapath/entry.c",
        "    qa->buffers.data = qb->buffers.data = NULL;\n",
        "",
        Proof("exchange", 512, "slave", "requeue"),
    ),
    Fault(
        "a reserved entry is enqueued in its own queue",
        "datapath/entry.c",
        "    if (mif_direction_of(buf->queue) != MIF_RX)\n        return MIF_ERR_INVAL_ARG;\n",
        "",
        Proof("exchange", 512, "slave", "enqueue_one"),
    ),
    Fault(
        "a slot is enqueued that the peer has not given back",
        "datapath/entry.c",
        "if (step == MIF_STEP_WAIT && mif_unreserve_refused(q, q->next))",
        "if (step == MIF_STEP_WAIT)",
        Proof("exchange", 512, "slave", "enqueue_one"),
    ),
    Fault(
        "entries after a refused one are enqueued",
        "datapath/entry.c",
        "while (n < count && err == MIF_ERR_SUCCESS) {",
        "while (n < count) {",
        Proof("exchange", 512, "slave", "enqueue"),
    ),
    Fault(
        "the buffer of the last slot is not freed",
        "core/bounce.c",
        "i <= q->mask; i++)\n        free(",
        "i < q->mask; i++)\n        free(",
        Proof("bounce", 512, "master", "free_all"),
    ),
    # Of version 256.
    Fault(
        "the end of bytes of version 256 may overflow in a slow part",
        ENGINE,
        "desc->offset > q->cache.size - length))",
        "desc->offset + length > q->cache.size))",
        Proof("packet", 256, "master", "take_other"),
    ),
    Fault(
        "a slot is claimed that the peer has not posted",
        ENGINE,
        "        if (counter == q->limit)\n            return MIF_STEP_WAIT;\n",
        "",
        Proof("packet", 256, "slave", "claim_slot"),
    ),
    Fault(
        "packets that are taken back stay recorded",
        "datapath/chain.c",
        "    for (uint64_t at = from; at != q->next && q->chains > 0; at++)\n"
        "        (void)mif_chain_end(q, mif_slot_of(q, at));\n",
        "",
        Proof("entry", 256, "slave", "unreserve_refused"),
    ),
    Fault(
        "the slow part of a send burst publishes nothing",
        FAST,
        "        mif_publish(q, false, kind);\n        if (!mif_receiver_polls",
        "        if (!mif_receiver_polls",
        Proof("packet", 256, "slave", "tx_rest"),
    ),
    Fault(
        "entries of a packet of several slots are written over",
        FAST,
        "        entries += more;\n",
        "",
        Proof("entry", 256, "master", "reserve_rest"),
    ),
)

# Some of them are put in for another proof too, which is one of cases.
_BY_NAME = {fault.name: fault for fault in ONCE}
_ALSO = (
    ("a packet has more entries than the array", "entry", 256, "master", "take_packet"),
    ("a packet has more entries than the array", "entry", 512, "slave", "take_packet"),
    (
        "a packet is reserved with one slot more than it has",
        "packet",
        256,
        "slave",
        "reserve_other",
    ),
    ("slots of a packet count as contiguous wherever they lie", "packet", 256, "master", "measure"),
)
FAULTS = (
    *ONCE,
    *(
        replace(
            _BY_NAME[name],
            name=f"{name}, {version} {role}",
            proof=Proof(face, version, role, burst),
        )
        for name, face, version, role, burst in _ALSO
    ),
)
