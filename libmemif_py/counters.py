# SPDX-License-Identifier: Apache-2.0
"""Counters of the queues of an interface, over all its links, and the fill of its rings.

The data path always counts, so reading the counters does not slow it down. There is no counter of
dropped packets, because the library drops none. `send` waits for room, or says how many packets
found room. Packets that nobody receives stay in the ring. If a peer breaks the rules, its
connection ends (`Details.last_error`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .control import reactor
from .control.lock import LOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .control.endpoint import Endpoint


@dataclass(frozen=True)
class RxCounters:
    """The counters of a receive queue."""

    packets: int
    bytes: int
    filtered: int = 0
    """Those of the packets that a filter kept from the program. See Interface.set_filter."""


@dataclass(frozen=True)
class TxCounters:
    """The counters of a transmit queue."""

    packets: int
    bytes: int
    full: int
    """Attempts to send that found no room for all their packets. A waiting call makes many."""
    interrupts: int
    """Signals to the peer. While the peer polls, there are none."""


@dataclass(frozen=True)
class Counters:
    """The counters of an interface, by queue id. They are 0 for a queue that was never used."""

    rx: tuple[RxCounters, ...]
    tx: tuple[TxCounters, ...]


def each_queue(rx_count: int, tx_count: int) -> Iterator[tuple[Literal["rx", "tx"], int]]:
    """Direction and id of each queue of an interface, in the order of the ids."""
    for queue in range(max(rx_count, tx_count)):
        if queue < rx_count:
            yield "rx", queue
        if queue < tx_count:
            yield "tx", queue


def read(endpoint: Endpoint, filtered: Sequence[int], tx_count: int) -> Counters | None:
    """The counters at this moment; None if the interface is closed.

    `filtered` has for each receive queue the packets that did not match.
    """
    rx, tx = [], []
    with LOCK:  # the end of a link adds its counters to those of former links
        if not endpoint.handle:
            return None
        for direction, queue in each_queue(len(filtered), tx_count):
            totals = reactor.ffi.new("struct mif_totals *")
            reactor.lib.mif_queue_totals(endpoint.handle, queue, direction == "tx", totals)
            if direction == "rx":
                rx.append(RxCounters(totals.packets, totals.bytes, filtered[queue]))
            else:
                tx.append(TxCounters(totals.packets, totals.bytes, totals.full, totals.signals))
    return Counters(tuple(rx), tuple(tx))


def zero(rx_count: int, tx_count: int) -> Counters:
    """The counters of an interface that has moved no packets."""
    return Counters((RxCounters(0, 0),) * rx_count, (TxCounters(0, 0, 0, 0),) * tx_count)


def fill(endpoint: Endpoint, queue: int, is_tx: bool) -> tuple[int, int] | None:
    """How many packets of a ring its receiver has not given back yet, and how many slots they take.

    A packet of which only a part is in the ring counts as one. None if there is no such ring. In
    version 512 the receiver of a master-to-slave ring gives slots back by posting buffers.
    """
    found: Any = reactor.ffi.new("struct mif_ring_state *")
    if reactor.lib.mif_queue_ring(endpoint.handle, queue, is_tx, found):
        return None
    return found.fill.packets, found.fill.slots
