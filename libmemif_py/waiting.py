# SPDX-License-Identifier: Apache-2.0
"""How a thread waits: for packets, for room in a ring, for a queue that a burst holds."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

from .control import system
from .control.steps import Steps
from .errors import ArgumentError, Timeout

if TYPE_CHECKING:
    from ._burst import Burst

# Nothing signals that a full ring has room again, or that a polled ring has packets. So a thread
# that waits for either sleeps, and doubles the time with each attempt.
FIRST_NAP = 10e-6
_LONGEST_NAP = 1e-3


def sleep(nap: float, left: float | None) -> float:
    """Sleep for `nap` seconds, but not longer than `left`. Returns the length of the next nap."""
    time.sleep(nap if left is None else min(nap, left))
    return min(nap * 2, _LONGEST_NAP)


def deadline_after(timeout: float | None) -> float | None:
    """The time on the monotonic clock in `timeout` seconds; None for no limit."""
    try:
        return None if timeout is None else time.monotonic() + timeout
    except TypeError:
        text = f"timeout {timeout!r}, expected a number of seconds or None"
        raise TypeError(text) from None


class ReadyFd:
    """An epoll descriptor that outlives connections.

    It holds the eventfd of a queue's current ring, and an eventfd of our own, which wakes waiters.
    That of all queues holds the epoll descriptors of the queues instead.
    """

    def __init__(self) -> None:
        """Open both descriptors. Raises OSError."""
        self._attached = self._wake = -1
        self._epoll = system.named_call("epoll_create1", select.epoll)
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        try:
            self._wake = system.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            system.named_call("epoll_ctl", self._epoll.register, self._wake, select.EPOLLIN)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self.close)

    def fileno(self) -> int:
        """The epoll descriptor."""
        return self._epoll.fileno()

    def attach(self, efd: int) -> None:
        """Wait for this eventfd from now on, and wake the waiters."""
        if self._closed:
            return
        self._epoll.register(efd, select.EPOLLIN)
        self._attached = efd
        self.wake()

    def detach(self) -> None:
        """Stop waiting for the eventfd, which must still be open. The interface may be closed."""
        if self._closed:
            return
        attached, self._attached = self._attached, -1
        with Steps() as steps:
            if attached >= 0:
                steps.take(self._epoll.unregister, attached)
            steps.take(self.wake)

    def wake(self) -> None:
        """Make the descriptor readable until `acknowledge` is called."""
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def acknowledge(self) -> bool:
        """Undo `wake`; False if there was nothing to undo. The queue's eventfd stays as it is."""
        with self._lock:
            if self._closed:
                return True
            try:
                os.eventfd_read(self._wake)
            except BlockingIOError:
                return False
            return True

    def wait(self, seconds: float | None) -> None:
        """Wait until the descriptor is readable, for at most `seconds` (None: no limit)."""
        with self._lock:
            if self._closed:
                return
            self._waiting += 1
        try:
            system.named_call("epoll_wait", self._epoll.poll, seconds)
        finally:
            with self._lock:
                self._waiting -= 1
                self._end()

    def close(self) -> None:
        """Wake all waiters. The last of them closes the descriptors."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with Steps() as steps:
                if self._wake >= 0:
                    steps.take(os.eventfd_write, self._wake, 1)
                steps.take(self._end)

    def abandon(self) -> None:
        """Close the descriptors in a forked child.

        Nobody waits in the child. The lock is not taken: a thread of the parent may have held it.
        """
        if not self._closed:
            self._closed = True
            self._epoll.close()
            os.close(self._wake)

    def _end(self) -> None:
        if self._closed and self._waiting == 0:
            with Steps() as steps:
                steps.take(self._epoll.close)
                if self._wake >= 0:
                    steps.take(os.close, self._wake)


class QueueLock:
    """A burst without copies holds it. Any thread may release it; see Interface.rx_burst."""

    def __init__(self) -> None:
        """Nobody holds it."""
        self._lock = threading.Lock()
        self._owner = 0
        self._abandoner = 0
        self._abandoned: Burst | None = None

    def acquire(self, deadline: float | None, timeout: float | None) -> None:
        """Wait for the lock until `deadline`; `timeout` is only for the message.

        Raises Timeout. Raises ArgumentError if this thread holds the lock, for it would wait for
        itself.
        """
        if self._owner == threading.get_ident():
            raise ArgumentError(
                "this thread has a burst open on the queue: end its `with` block first, or call "
                "its release()"
            )
        left = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._lock.acquire(timeout=left):
            raise Timeout(f"a burst held the queue for {timeout} s")
        self._owner = threading.get_ident()

    def try_acquire(self) -> bool:
        """Take the lock if it is free."""
        is_free = self._lock.acquire(blocking=False)
        if is_free:
            self._owner = threading.get_ident()
        return is_free

    def is_own(self) -> bool:
        """Whether a burst of this thread holds the queue, or views of one."""
        me, slots = threading.get_ident(), self._abandoned
        return self._owner == me or (slots is not None and slots.open and self._abandoner == me)

    def is_held(self) -> bool:
        """Whether a burst holds the queue, or views of one."""
        slots = self._abandoned
        return self._lock.locked() or (slots is not None and slots.open)

    def release(self) -> None:
        """Let others use the queue."""
        self._owner = 0
        self._lock.release()

    def abandon(self, slots: Burst) -> None:
        """Note that the burst is over but views keep its slots. The caller then releases."""
        self._abandoner = threading.get_ident()
        self._abandoned = slots

    def check_abandoned(self) -> None:
        """Raise ArgumentError if this thread's own views keep the queue, so that it waits in vain.

        Views of other threads are no error: those threads can release them.
        """
        slots = self._abandoned
        if slots is None or not slots.open:
            self._abandoned = None
        elif self._abandoner == threading.get_ident():
            raise ArgumentError(
                "views of a burst that this thread has left hold the queue: delete the arrays, "
                "release or delete the views; if you do not find them, close the interface and "
                "make it again"
            )

    def pass_by(self, deadline: float | None, timeout: float | None, nap: float) -> float:
        """Wait while a burst holds the queue, else sleep. Returns the length of the next nap.

        Raises as acquire does.
        """
        free = self._lock.acquire(blocking=False)
        if not free:
            self.acquire(deadline, timeout)
            self.release()
            return FIRST_NAP
        self._lock.release()
        self.check_abandoned()
        return sleep(nap, None if deadline is None else max(0.0, deadline - time.monotonic()))
