# SPDX-License-Identifier: Apache-2.0
"""Who is to be called when: the deadlines of a hub, on one timer of the kernel."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .native import Native

    class Owner(Protocol):
        """Who sets a deadline."""

        def timed_out(self) -> None:
            """The time is over. The deadline is not set any more."""


class Deadlines:
    """At most one deadline for each owner. Owns the descriptor of the timer, until `detach`."""

    def __init__(self, native: Native) -> None:
        """With nothing to wait for. Raises MemifError."""
        self._native = native
        self._times: dict[Owner, float] = {}
        self._armed: float | None = None
        timer = native.ffi.new("int *")
        native.check(native.lib.mif_timer_open(timer), "timer")
        self._timer = timer[0]

    def __len__(self) -> int:
        """How many are set."""
        return len(self._times)

    def fileno(self) -> int:
        """Readable when a deadline is over; -1 once detached."""
        return self._timer

    def set(self, owner: Owner, seconds: float) -> None:
        """Call `owner.timed_out()` after so many seconds. Raises MemifError; it is set even so."""
        when = time.monotonic() + seconds
        self._times[owner] = when
        if self._armed is None or when < self._armed:
            self._arm()

    def cancel(self, owner: Owner) -> None:
        """Forget it. With nothing left to wait for, the timer is off. Raises MemifError."""
        if self._times.pop(owner, None) is not None and not self._times:
            self._arm()

    def clear(self) -> None:
        """In a forked child: forget all, and leave the timer alone."""
        self._times.clear()

    def detach(self) -> int:
        """Give the descriptor away, or -1 if that was done before."""
        timer, self._timer = self._timer, -1
        return timer

    def _arm(self) -> None:
        if self._timer < 0:
            return  # detached, perhaps by what was due
        self._armed = min(self._times.values(), default=None)
        if self._armed is None:
            wait = -1
        else:
            wait = max(0, int((self._armed - time.monotonic()) * 1e6))
        code = self._native.lib.mif_timer_arm(self._timer, wait)
        if code:
            self._armed = None  # so that the next deadline tries again
            raise self._native.error(code, "timer")

    def on_ready(self, _events: int) -> None:
        """The timer fired."""
        self._native.lib.mif_timer_read(self._timer)
        now = time.monotonic()
        try:
            for owner in list(self._times):
                # An owner before it in this loop may have cancelled it, or set it anew.
                if self._times.get(owner, now + 1) <= now:
                    del self._times[owner]
                    owner.timed_out()
        finally:
            self._arm()  # those that an error kept from their turn are due at once
