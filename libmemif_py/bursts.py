# SPDX-License-Identifier: Apache-2.0
"""Bursts without copies: the packets where they lie in shared memory.

`Interface.rx_burst` and `Interface.tx_burst` return these. The slots belong to the burst until its
`with` block ends; a view that is still alive then is an error, and the slots stay until it has gone
and `release` or `send` is called. Who drops the burst or leaves the block with an exception does
not have to: the last view gives the slots back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ._burst import Burst
    from .interface import Interface, _QueueLock


class _Burst:
    """What both directions have in common."""

    def __init__(self, interface: Interface, queue: int, lock: _QueueLock, slots: Burst) -> None:
        """Takes over a held lock, which keeps others off the queue."""
        self._interface = interface
        self._queue = queue
        self._lock: _QueueLock | None = lock
        self._slots = slots

    def __len__(self) -> int:
        """How many packets."""
        return len(self._slots)

    def __getitem__(self, index: int) -> memoryview:
        """One packet, without a copy. Raises BufferError when the burst is over."""
        return self._slots[index]

    def __iter__(self) -> Iterator[memoryview]:
        """Packet by packet."""
        return (self._slots[index] for index in range(len(self._slots)))

    @property
    def rows(self) -> memoryview:
        """All packets as a two-dimensional memoryview: packet by packet, bytes.

        Rows are as long as the longest packet; behind the end of a shorter one there is anything.
        """
        return memoryview(self._slots)

    @property
    def data(self) -> Any:
        """`rows` as a NumPy array of uint8, shape (packets, bytes), without a copy."""
        return _numpy().asarray(self._slots)

    @property
    def lengths(self) -> memoryview:
        """Bytes of each packet, uint32; may be kept."""
        return self._slots.lengths

    def release(self) -> None:
        """Give the slots back. Raises BufferError while a view is alive; may be called again."""
        self._slots.release()
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _abandon(self) -> None:
        """Leave the slots to the last view."""
        self._slots.abandon()
        lock = self._lock
        if lock is not None and self._slots.open:
            lock.abandon(self._slots)
        self._unlock()

    def __del__(self) -> None:
        """A burst that was dropped must not keep its queue."""
        self._abandon()


class RxBurst(_Burst):
    """Received packets, read-only."""

    def __enter__(self) -> RxBurst:
        """Give the slots back at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See release. An exception in the block goes before that of a view."""
        if error is None:
            self.release()
        else:
            self._abandon()

    def sizes(self) -> Any:
        """`lengths` as a NumPy array."""
        return _numpy().asarray(self._slots.lengths)


class TxBurst(_Burst):
    """Reserved packets, to be filled in place and sent when the block ends.

    `lengths` is writable: what each packet is sent with, at first the size that was asked for.
    """

    def __enter__(self) -> TxBurst:
        """Send at the end of the block, or take all back when it ends with an exception."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See send and release."""
        if not self._slots.open or error is not None:
            self._abandon()
        else:
            self._send_or_abandon()

    def _send_or_abandon(self) -> None:
        """What was not written as it has to be is not sent, and nothing is left to be done."""
        try:
            self.send()
        except (errors.ArgumentError, errors.ForkedError):
            self._abandon()
            raise

    def sizes(self) -> Any:
        """`lengths` as a NumPy array, writable."""
        return _numpy().asarray(self._slots.lengths)

    def send(self, count: int | None = None) -> int:
        """Send the first `count` packets (None: all), take the others back; returns how many.

        Raises BufferError while a view is alive, Disconnected when the link went down,
        ArgumentError when the burst is over, has fewer packets, or a length is beyond its row.
        """
        try:
            sent, code = self._slots.send(len(self._slots) if count is None else count)
        except (ValueError, OverflowError) as error:
            raise errors.ArgumentError(str(error)) from None
        self._unlock()
        self._interface._check_sent(code, self._queue)
        return sent


def _numpy() -> Any:
    try:
        import numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "arrays need NumPy: pip install 'libmemif-py[numpy]'; or use `rows`, a memoryview",
            name="numpy",
        ) from error
    return numpy
