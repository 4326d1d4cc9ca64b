# SPDX-License-Identifier: Apache-2.0
"""Packets that were not received when their link ended. The program still receives them, first."""

from __future__ import annotations

from collections import deque

from .control.reactor import burst

# In bytes, for all queues of an interface. The buffers of a cheating peer may overlap, so that its
# rings seem to hold far more than its memory does.
MOST_KEPT = 1 << 28


class Backlog:
    """The packets that ended links left, by receive queue. `State.lock` guards it.

    `numbers` maps each queue to the number that the receive functions of `_burst` take: that of the
    link, or 0 as long as packets of an ended link have to be received first. No queue answers to 0.
    """

    def __init__(self, count: int) -> None:
        """Nothing is left in any of `count` queues."""
        self.numbers = dict.fromkeys(range(count), 0)
        self._packets: list[deque[bytes]] = [deque() for _ in range(count)]

    def link_up(self, queue: int, number: int) -> None:
        """A new link has a ring for this queue."""
        if not self._packets[queue]:
            self.numbers[queue] = number

    def keep(self, number: int) -> None:
        """Take what lies in the rings of a link that ends. They are unmapped afterwards."""
        kept = sum(len(packet) for packets in self._packets for packet in packets)
        self.forget_link()
        for queue, packets in enumerate(self._packets):
            rest = burst.recv_rest(number, queue, MOST_KEPT - kept)
            packets.extend(rest)
            kept += sum(map(len, rest))

    def take(self, queue: int, most: int, number: int) -> tuple[list[bytes], bool]:
        """At most `most` packets, and whether more are left.

        If none are left, the ring of the link `number` (0: no link) is next.
        """
        left = self._packets[queue]
        packets = [left.popleft() for _ in range(min(most, len(left)))]
        if not left:
            self.numbers[queue] = number
        return packets, bool(left)

    def put_back(self, queue: int, packets: list[bytes]) -> None:
        """Packets that were received, but not by the program, are the next again."""
        self._packets[queue].extendleft(reversed(packets))
        self.numbers[queue] = 0

    def forget_link(self) -> None:
        """Receive from no ring."""
        for queue in self.numbers:
            self.numbers[queue] = 0
