# SPDX-License-Identifier: Apache-2.0
"""What the core counts on each queue, and how full a ring is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libmemif_py import control
from libmemif_py.hub import LOCK
from libmemif_py.wire import VERSION_1

if TYPE_CHECKING:
    from libmemif_py import Interface


@dataclass(frozen=True)
class Totals:
    """Since the interface was made, over reconnections."""

    packets: int
    bytes: int
    full: int
    """Sending: bursts that found no room for all of their packets."""
    signals: int
    """Sending: interrupts sent to the peer."""


def totals(interface: Interface, queue: int, *, tx: bool) -> Totals:
    """One queue of an open interface."""
    found = control.ffi.new("struct mif_totals *")
    control.lib.mif_queue_totals(interface._endpoint.handle, queue, tx, found)
    return Totals(found.packets, found.bytes, found.full, found.signals)


def summed(interface: Interface, queues: int, *, tx: bool) -> Totals:
    """All queues of a direction."""
    each = [totals(interface, queue, tx=tx) for queue in range(queues)]
    fields = Totals.__dataclass_fields__
    return Totals(*(sum(getattr(one, field) for one in each) for field in fields))


def fill(interface: Interface, queue: int, *, tx: bool) -> int | None:
    """Packets that lie in a ring: sent and not yet taken back. None while there is no link.

    Of a master's send ring in version 512 the slots that the slave has not posted again count.
    """
    details = interface.details()
    rings = details.tx_rings if tx else details.rx_rings
    if queue >= len(rings):
        return None
    state = control.ffi.new("struct mif_queue_state *")
    with LOCK:  # the control thread may be about to unmap the ring
        link = interface._endpoint.link
        handle = interface._endpoint.handle
        if link is None or not link.up or control.lib.mif_queue_look(handle, queue, tx, state):
            return None
    size = rings[queue]
    if details.version == VERSION_1:
        return (state.head - state.tail) % size
    ahead = (state.head - state.tail) % 2**16
    # Of a ring from master to slave the slave posts at head what the master fills at tail.
    to_slave = (details.role == "master") == tx
    return max(0, size - ahead) if to_slave else min(size, ahead)
