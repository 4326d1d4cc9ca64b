# SPDX-License-Identifier: Apache-2.0
"""What the queues of an interface have done, from its making on, over all of its connections, and
how full their rings are now.

The queues count anyway, so reading costs the traffic nothing. There is no count of drops, for
nothing is dropped: what finds no room is not taken from the sender, what is not received waits in
the ring, and a peer that breaks the rules loses its connection (`Details.last_error`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .control import reactor
from .control.lock import LOCK

if TYPE_CHECKING:
    from .control.endpoint import Endpoint


@dataclass(frozen=True)
class RxCounters:
    """Of a receive queue."""

    packets: int
    bytes: int


@dataclass(frozen=True)
class TxCounters:
    """Of a transmit queue."""

    packets: int
    bytes: int
    full: int
    """Attempts that found no room for all of their packets. Who waits for room attempts often."""
    interrupts: int
    """Signals to the peer; none while it polls."""


@dataclass(frozen=True)
class Counters:
    """Of all queues of an interface, by queue id. What a connection does not use stays zero."""

    rx: tuple[RxCounters, ...]
    tx: tuple[TxCounters, ...]


def read(endpoint: Endpoint, rx_count: int, tx_count: int) -> Counters | None:
    """What is counted at this moment; None when the interface has ended.

    Under the control lock: at the end of a link its counts are added to those of former ones.
    """
    with LOCK:
        if not endpoint.handle:
            return None
        rx = tuple(_rx(_totals(endpoint.handle, queue, 0)) for queue in range(rx_count))
        tx = tuple(_tx(_totals(endpoint.handle, queue, 1)) for queue in range(tx_count))
        return Counters(rx, tx)


def zero(rx_count: int, tx_count: int) -> Counters:
    """Of an interface that has done nothing."""
    return Counters((RxCounters(0, 0),) * rx_count, (TxCounters(0, 0, 0, 0),) * tx_count)


def fill(endpoint: Endpoint, queue: int, is_tx: bool) -> tuple[int, int] | None:
    """Packets in a ring that its receiver has not given back yet, and the slots that they take.

    A packet of which only a part is in the ring counts as one. None without such a ring. In version
    512 the receiver of a ring from master to slave gives slots back by posting buffers.
    """
    found = reactor.ffi.new("struct mif_fill *")
    with LOCK:  # the control thread may be about to unmap the ring
        link = endpoint.link
        if link is None or not link.up or queue >= len(link.rings(is_tx)):
            return None
        if reactor.lib.mif_native_fill(endpoint.handle, queue, is_tx, found):
            return None
    return found.packets, found.slots


def _totals(handle: Any, queue: int, is_tx: int) -> Any:
    totals = reactor.ffi.new("struct mif_totals *")
    reactor.lib.mif_queue_totals(handle, queue, is_tx, totals)
    return totals


def _rx(totals: Any) -> RxCounters:
    return RxCounters(totals.packets, totals.bytes)


def _tx(totals: Any) -> TxCounters:
    return TxCounters(totals.packets, totals.bytes, totals.full, totals.signals)
