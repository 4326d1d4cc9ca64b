# SPDX-License-Identifier: Apache-2.0
"""The receive side of an interface: its queues, over all links, and how calls wait for packets.

`Interface.recv` and its sisters ask the core first. Only when it has no packet do they come here.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import TYPE_CHECKING, Any

from . import counters, filters
from .backlog import Backlog
from .bursts import RxBurst
from .control import reactor
from .control.reactor import burst
from .control.steps import Steps
from .control.wire import UINT16_MAX
from .errors import ArgumentError
from .settings import MODES, item
from .state import AGAIN, check_code, closed_error
from .waiting import FIRST_NAP, QueueLock, ReadyFd, deadline_after, sleep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .control.endpoint import Endpoint
    from .state import State

# The mode of a queue can be set before there is a link, and for queues that it does not have.
_MODE_LATER = {reactor.native.codes[name] for name in ("QID", "DISCONNECTED")}


class Receiver:
    """The receive queues of an interface."""

    def __init__(self, state: State, count: int) -> None:
        """Open the descriptors of `count` queues. Raises OSError."""
        self._state = state
        self.count = count
        self._backlog = Backlog(count)
        self.numbers = self._backlog.numbers
        self._polling: set[int] = set()
        self._locks = [QueueLock() for _ in range(count)]
        self._waits: list[ReadyFd] = []
        self._any: ReadyFd | None = None
        self.filtered = array("Q", bytes(8 * count))
        """Packets that a filter has kept from the program, by queue."""
        self.source: Any = burst
        """What receives: the functions of `_burst`, or those of a filter."""
        self._turn = 0  # the queue with which calls for any queue begin
        try:
            for _ in range(count):
                self._waits.append(ReadyFd())
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self.close)

    # ---- told by the control plane; all but `abandon` under `State.lock` ----

    def link_up(self, endpoint: Endpoint, efds: list[int]) -> None:
        """Receive from the rings of a new link; `efds` are their eventfds, by queue."""
        for queue, efd in enumerate(efds):
            self._backlog.link_up(queue, self._state.number)
            self._waits[queue].attach(efd)
            self._apply_mode(endpoint, queue)

    def keep_the_rest(self) -> None:
        """Take what the ended link `State.number` left in its rings."""
        self._backlog.keep(self._state.number)

    def detach(self) -> None:
        """Wait for no ring, and wake all who wait."""
        with Steps() as steps:
            for wait in self._waits:
                steps.take(wait.detach)

    def wake(self) -> None:
        """Wake all who wait."""
        with Steps() as steps:
            for wait in self._waits:
                steps.take(wait.wake)

    def close(self) -> None:
        """Wake all who wait, and close the descriptors."""
        with Steps() as steps:
            for wait in self._all_waits():
                steps.take(wait.close)

    def abandon(self) -> None:
        """Close the copies of our descriptors in a forked child."""
        self._backlog.forget_link()
        for wait in self._all_waits():
            wait.abandon()

    def _all_waits(self) -> list[ReadyFd]:
        return self._waits if self._any is None else [self._any, *self._waits]

    # ---- called by the program ----

    def check(self, queue: int) -> None:
        """Raise QueueError unless the interface has the queue."""
        item("receive queue", self._waits, queue)

    def fill(self, queue: int) -> tuple[int | None, int | None]:
        """Packets and slots of a ring that wait to be received; Nones without one."""
        self.check(queue)
        self._state.check_process()
        return counters.fill(self._state.endpoint, queue, is_tx=False) or (None, None)

    def fileno(self, queue: int) -> int:
        """See Interface.fileno."""
        return item("receive queue", self._waits, queue).fileno()

    def set_polling(self, queue: int, polling: bool) -> None:
        """See Interface.set_rx_mode."""
        with self._state.lock:
            (self._polling.add if polling else self._polling.discard)(queue)
            if self._state.up:
                self._apply_mode(self._state.endpoint, queue)

    def _apply_mode(self, endpoint: Endpoint, queue: int) -> None:
        code = reactor.lib.mif_queue_set_polling(endpoint.handle, queue, queue in self._polling)
        if code and code not in _MODE_LATER:
            raise reactor.native.error(code, f"rx mode of queue {queue}")

    def take_left(self, queue: int, most: int) -> list[bytes]:
        """At most `most` packets of ended links. If none are left then, the ring is next."""
        state = self._state
        with state.lock:
            packets, is_more = self._take_left(queue, most)
            while is_more and not packets:
                packets, is_more = self._take_left(queue, most)
            if is_more:
                self._waits[queue].wake()  # the descriptor stays readable
            return packets

    def _take_left(self, queue: int, most: int) -> tuple[list[bytes], bool]:
        packets, is_more = self._backlog.take(queue, most, self._state.number)
        if self.source is not burst:
            packets = self.source.select(queue, packets)
        return packets, is_more

    def set_filter(self, text: str | None) -> None:
        """See Interface.set_filter."""
        self._state.check_open()
        mode = MODES[self._state.settings.mode]
        self.source = burst if text is None else filters.filter_for(text, mode, self.filtered)

    def put_back(self, queue: int, packets: list[bytes]) -> None:
        """Packets that were received, but not by the program, are the next again."""
        with self._state.lock:
            self._backlog.put_back(queue, packets)
            self._waits[queue].wake()

    def are_held(self, queues: list[int]) -> bool:
        """Whether bursts or views hold queues. If all are this thread's views: ArgumentError."""
        locks = [self._locks[queue] for queue in queues]
        if all(lock.is_own() for lock in locks):
            locks[0].check_abandoned()
        return any(lock.is_held() for lock in locks)

    def open_burst(self, count: int, timeout: float | None, queue: int) -> RxBurst:
        """See Interface.rx_burst."""
        lock = item("receive queue", self._locks, queue)
        self._state.check_process()
        lock.acquire(deadline_after(timeout), timeout)
        try:
            most = min(count, UINT16_MAX)
            slots: Any = self.source.rx_burst(self.numbers[queue], queue, most)
            if slots.__class__ is int:
                slots = self.wait_for_packets(
                    lambda: self.source.rx_burst(self.numbers[queue], queue, most),
                    lambda: self._burst_of_left(queue, count),
                    slots,
                    timeout,
                    queue,
                    holds_queue=True,
                )
        except BaseException:
            lock.release()
            raise
        return RxBurst(queue, lock, slots)

    # ---- called for any queue ----

    def in_turn(self) -> Iterator[int]:
        """Each queue, beginning with the one after that which was served last."""
        turn = self._turn
        return chain(range(turn, self.count), range(turn))

    def served(self, queue: int) -> None:
        """Begin with the next queue next time."""
        self._turn = (queue + 1) % self.count

    def any_fd(self) -> ReadyFd:
        """Readable when the descriptor of any queue is. It is made when it is first needed."""
        with self._state.lock:
            if self._any is None:
                self._state.check_open()
                with reactor.in_our_classes(self._state.settings):
                    self._any = ReadyFd()
                for wait in self._waits:
                    self._any.attach(wait.fileno())
                self._any.acknowledge()
            return self._any

    def acknowledge_all(self) -> bool:
        """Undo what woke the queues. False if there was nothing to undo."""
        return sum(wait.acknowledge() for wait in self._waits) > 0

    def polls(self) -> bool:
        """Whether a queue is in polling mode, so that nothing signals its packets."""
        return bool(self._polling)

    def check_own_bursts(self, are_held: list[bool]) -> None:
        """Raise ArgumentError if this thread's bursts hold all queues, so that it waits in vain."""
        if all(held and lock.is_own() for held, lock in zip(are_held, self._locks, strict=True)):
            raise ArgumentError(
                "bursts of this thread, or views of them, hold all queues: end their `with` "
                "blocks, delete the views"
            )

    def try_burst(self, count: int, queue: int) -> RxBurst | int:
        """A burst of a queue, or a code. Waits for nothing."""
        most = min(count, UINT16_MAX)
        return self._try_burst(
            queue, lambda: self.source.rx_burst(self.numbers[queue], queue, most)
        )

    def try_burst_of_left(self, count: int, queue: int) -> RxBurst | None:
        """A burst of packets of ended links, or None."""
        found = self._try_burst(queue, lambda: self._burst_of_left(queue, count) or AGAIN)
        return None if isinstance(found, int) else found

    def _try_burst(self, queue: int, take: Callable[[], Any]) -> RxBurst | int:
        lock = self._locks[queue]
        if not lock.try_acquire():
            return AGAIN
        slots: Any = AGAIN
        try:
            slots = take()
        finally:
            if slots.__class__ is int:
                lock.release()
        return slots if slots.__class__ is int else RxBurst(queue, lock, slots)

    # ---- the slow path ----

    def _burst_of_left(self, queue: int, most: int) -> Any:
        packets = self.take_left(queue, most)
        return burst.burst_from_bytes(packets) if packets else None

    def wait_for_packets(
        self,
        receive: Callable[[], Any],
        take_left: Callable[[], Any],
        code: int,
        timeout: float | None,
        queue: int,
        *,
        holds_queue: bool = False,
    ) -> Any:
        """Try both functions again until one has packets. Returns what it returned.

        `receive` returns packets, or a code when it has none; `code` is what it returned last.
        `take_left` returns packets of ended links, or None. `holds_queue`: this call holds the
        queue's lock.
        """
        wait = item("receive queue", self._waits, queue)
        state = self._state
        deadline = deadline_after(timeout)
        nap = FIRST_NAP
        while True:
            # Read before `take_left`: if the link has ended by now, all that it left is kept.
            closed, up = state.closed, state.up
            if state.inherited:
                state.check_open()
            if (rest := take_left()) is not None:
                return rest
            if closed:
                raise closed_error()
            check_code(code, "receive", queue)
            if not wait.acknowledge():  # else the link changed meanwhile: look again at once
                if code == AGAIN:
                    self._locks[queue].check_abandoned()
                left = state.time_left(
                    deadline, timeout, f"no packet within {timeout} s", was_up=up
                )
                if code == AGAIN and holds_queue:
                    nap = sleep(nap, left)
                elif code == AGAIN:
                    nap = self._locks[queue].pass_by(deadline, timeout, nap)
                elif queue in self._polling:
                    nap = sleep(nap, left)
                else:
                    wait.wait(left)
            packets = receive()
            if packets.__class__ is not int:
                return packets
            code = packets
