# SPDX-License-Identifier: Apache-2.0
"""The ports of `memif bridge`, and the memif interface as one of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from libmemif_py import MemifError

from .options import InterfaceOptions

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 256


class Port:
    """One side of a bridge. It counts the packets that it received, sent and dropped."""

    def __init__(self, name: str) -> None:
        """`name` is the word of the command line."""
        self.name = name
        self.received = self.sent = self.dropped = 0

    def wait_if_limited(self) -> None:
        """Wait for a peer if the user set a limit for that. Raises NoAnswer."""

    def fds(self) -> list[int]:
        """A descriptor for each queue; readable when the queue has packets."""
        raise NotImplementedError

    def events(self) -> dict[int, Callable[[], None]]:
        """Other descriptors, with what to call when they are readable."""
        return {}

    def pass_on(self, queue: int, consume: Callable[[list], None]) -> None:
        """Receive one burst of a queue without waiting, and pass it to `consume`."""
        raise NotImplementedError

    def take(self, packets: list, queue: int) -> None:
        """Send packets without waiting. Those that find no room are dropped, as on a wire."""
        sent = self._send(packets, queue)
        self.sent += sent
        self.dropped += len(packets) - sent

    def _send(self, packets: list, queue: int) -> int:
        raise NotImplementedError

    def lost(self) -> int | None:
        """Packets that came while there was no room to receive them; None: nobody knows."""
        return None

    def close(self) -> None:
        """Release the port."""
        raise NotImplementedError


class MemifPort(Port):
    """A memif interface. It passes packets on in place, in shared memory."""

    def __init__(self, options: InterfaceOptions, tell: Callable[[str], None]) -> None:
        """Connect or listen. `tell` gets a line for each connection."""
        super().__init__(options.shown)
        self.options = options
        self._rings = 0

        def changed(text: str) -> None:
            self._rings = 0
            tell(text)

        self._open = contextlib.ExitStack()
        self.interface = self._open.enter_context(
            options.open(changed, prefix=f"{options.shown}: ")
        )

    def wait_if_limited(self) -> None:
        """See Port."""
        self.options.wait_if_limited(self.interface)

    def fds(self) -> list[int]:
        """See Port."""
        return [self.interface.fileno(queue) for queue in range(self.options.queues)]

    def pass_on(self, queue: int, consume: Callable[[list], None]) -> None:
        """See Port. `consume` must not keep the packets: their slots go back to the peer."""
        try:
            burst = self.interface.rx_burst(BURST, 0, queue=queue)
        except MemifError:
            return  # no link, or no packets after all
        with burst:
            self.received += len(burst)
            packets = list(burst)
            try:
                consume(packets)
            finally:
                packets.clear()

    def _send(self, packets: list, queue: int) -> int:
        # The peer may offer fewer rings than we do. Each change of the link forgets the number.
        rings = self._rings = self._rings or len(self.interface.details().tx_rings)
        if not rings:
            return 0
        try:
            return self.interface.send_burst(packets, 0, queue=queue % rings)
        except MemifError:
            return 0  # no link, or no room

    def close(self) -> None:
        """See Port."""
        self._open.close()
