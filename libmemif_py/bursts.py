# SPDX-License-Identifier: Apache-2.0
"""Bursts without copies: packets in place, in shared memory.

`Interface.rx_burst` and `Interface.tx_burst` return these objects. A burst owns its slots of the
ring until its `with` block ends. If a view of a packet is still alive then, the block raises
BufferError, and nothing is sent. The burst is over, and its slots go back with the last view: until
then, calls on the queue raise ArgumentError. The same holds for a burst that is dropped, and for
one whose block ends with an exception. Outside a block, `release` and `send` may be called again
after a BufferError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Protocol

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer  # type checkers know it, also without the package

    from ._burst import Burst
    from .waiting import QueueLock

    class Sender(Protocol):
        """What a transmit burst needs of its interface."""

        def check_sent(self, code: int, queue: int) -> None:
            """Raise what kept a burst from being sent; 0 means that nothing did."""


class _Burst:
    """What both directions have in common."""

    def __init__(self, queue: int, lock: QueueLock, slots: Burst) -> None:
        """Takes over a held lock, which keeps other calls off the queue."""
        self.queue = queue
        """The id of its queue."""
        # Several threads may end the burst: the one that takes the lock from here releases it.
        self._held = [lock]
        self._slots = slots
        self._on_end: Callable[[], None] | None = None  # called when the queue is free again

    def __repr__(self) -> str:
        """The queue, how many packets of how many bytes, and whether the burst is over."""
        sizes = self._slots.lengths.tolist()
        low, high = min(sizes, default=0), max(sizes, default=0)
        span = f"{high}" if low == high else f"{low} to {high}"
        what = f"{len(sizes)} packet{'' if len(sizes) == 1 else 's'} of {span} bytes"
        state = "" if self._slots.open else ", over"
        return f"<{type(self).__name__} of queue {self.queue}: {what}{state}>"

    def __len__(self) -> int:
        """The number of packets."""
        return len(self._slots)

    def __getitem__(self, index: int) -> memoryview:
        """One packet, without a copy. Raises BufferError when the burst is over."""
        return self._slots[index]

    def __iter__(self) -> Iterator[memoryview]:
        """One packet after the other."""
        return (self._slots[index] for index in range(len(self._slots)))

    @property
    def rows(self) -> memoryview:
        """All packets as a memoryview of uint8, shape (packets, bytes).

        A row is as long as the longest packet. What follows a shorter packet in its row is not
        defined.
        """
        return memoryview(self._slots)

    @property
    def data(self) -> NDArray[np.uint8]:
        """`rows` as a NumPy array of uint8, shape (packets, bytes), without a copy."""
        return _numpy().asarray(self._slots)

    @property
    def row_lengths(self) -> memoryview:
        """Bytes of each packet in `rows`, as a memoryview of uint32. It may outlive the burst."""
        return self._slots.lengths

    @property
    def lengths(self) -> NDArray[np.uint32]:
        """`row_lengths` as a NumPy array of uint32, shape (packets,), without a copy."""
        return _numpy().asarray(self._slots.lengths)

    def release(self) -> None:
        """Give the slots back. Raises BufferError while a view is alive; may be called again."""
        self._slots.release()
        self._unlock()

    def _unlock(self) -> None:
        if not self._held:
            return
        try:
            lock = self._held.pop()
        except IndexError:
            return
        lock.release()
        if self._on_end is not None:
            self._on_end()

    def _abandon(self) -> None:
        """Leave the slots to the last view."""
        self._slots.abandon()
        if self._slots.open:
            for lock in self._held:
                lock.abandon(self._slots)
        self._unlock()

    def __del__(self) -> None:
        """A burst that was dropped must not keep its queue."""
        self._abandon()


class RxBurst(_Burst):
    """Received packets, read-only."""

    def match(self, value: Buffer, offset: int = 0, mask: Buffer | None = None) -> memoryview:
        """The indices of the packets that have the bytes `value` at `offset`, in order.

        Args:
            value: 1 to 256 bytes.
            offset: where in the packet, 0 to 65535. A packet that ends before the last byte does
                not match.
            mask: as many bytes as `value`; only bits that are set in it are compared. None: all.

        Returns a memoryview of uint32, which may outlive the burst. Raises ArgumentError,
        BufferError when the burst is over.
        """
        try:
            return self._slots.match(value, offset, mask)
        except (ValueError, OverflowError) as error:
            raise errors.ArgumentError(str(error)) from None

    def __enter__(self) -> RxBurst:
        """Give the slots back at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See release. An exception of the block hides the BufferError of a view."""
        if error is not None:
            self._abandon()
            return
        try:
            self.release()
        except BufferError:
            self._abandon()
            raise


class TxBurst(_Burst):
    """Reserved packets. Fill them in place; they are sent when the block ends.

    `lengths` and `row_lengths` are writable: each packet is sent with its length, at first the size
    that `Interface.tx_burst` was asked for.
    """

    def __init__(self, sender: Sender, queue: int, lock: QueueLock, slots: Burst) -> None:
        """See _Burst. `sender` raises what keeps the burst from being sent."""
        super().__init__(queue, lock, slots)
        self._sender = sender

    def __enter__(self) -> TxBurst:
        """Send at the end of the block, or take all back if it ends with an exception."""
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
        """A burst with wrong lengths, or with views, is not sent, and its slots go back."""
        try:
            self.send()
        except BufferError as error:
            self._abandon()
            raise BufferError(f"nothing was sent: {error}") from None
        except (errors.ArgumentError, errors.ForkedError):
            self._abandon()
            raise

    def send(self, count: int | None = None) -> int:
        """Send the first `count` packets (None: all), take the others back. Returns how many.

        Raises BufferError while a view is alive, Disconnected when the link went down,
        ArgumentError when the burst is over, has fewer packets, or a length exceeds its row.
        """
        try:
            sent, code = self._slots.send(len(self._slots) if count is None else count)
        except (ValueError, OverflowError) as error:
            raise errors.ArgumentError(str(error)) from None
        self._unlock()
        self._sender.check_sent(code, self.queue)
        return sent


def _numpy() -> Any:
    try:
        import numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "arrays need NumPy: pip install numpy; or use `rows` and `row_lengths`, memoryviews",
            name="numpy",
        ) from error
    return numpy
