# SPDX-License-Identifier: Apache-2.0
"""Which tasks have bursts open. Other tasks wait until these bursts are over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .. import errors
from ..state import closed_error
from .loop import tell

if TYPE_CHECKING:
    from ..bursts import RxBurst, TxBurst


class Holders:
    """The tasks that hold queues of one direction, by queue.

    In an event loop all tasks share a thread, so the locks of the plain interface cannot tell one
    task from another.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nobody holds a queue."""
        self._loop = loop
        self.tasks: dict[int, asyncio.Task[object] | None] = {}
        """Empty most of the time: look here before you call."""
        self._waiters: list[asyncio.Future[None]] = []
        self._closed = False

    def add(self, burst: RxBurst | TxBurst) -> None:
        """The task that runs now has the burst open."""
        queue = burst.queue
        self.tasks[queue] = asyncio.current_task()
        burst._on_end = lambda: self._ended(queue)

    def _ended(self, queue: int) -> None:
        """On any thread: a burst may be collected anywhere."""
        del self.tasks[queue]
        if self._waiters:
            tell(self._loop, self._wake)

    def check_own(self, queues: list[int]) -> None:
        """Raise ArgumentError if this task holds all these queues, for it would wait for itself."""
        me = asyncio.current_task()
        if all(queue in self.tasks and self.tasks[queue] is me for queue in queues):
            raise errors.ArgumentError(
                "this task has a burst open on the queue: end its `with` block first, or call its "
                "release()"
            )

    def hold(self, queues: list[int]) -> bool:
        """Whether all these queues are held."""
        return all(queue in self.tasks for queue in queues)

    async def passed(self, queues: list[int]) -> None:
        """Wait until one of these queues is free. See check_own.

        Raises NoConnectionError when the interface is closed.
        """
        while self.hold(queues):
            if self._closed:
                raise closed_error()
            self.check_own(queues)
            future = self._loop.create_future()
            self._waiters.append(future)
            try:
                await future
            finally:
                self._waiters.remove(future)

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        for future in self._waiters:
            if not future.done():
                future.set_result(None)
