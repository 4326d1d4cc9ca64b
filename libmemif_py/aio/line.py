# SPDX-License-Identifier: Apache-2.0
"""Calls that wait for the same thing, in the order in which they came."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class Line:
    """A lock for one call at a time, which knows how many calls have it or wait for it."""

    def __init__(self) -> None:
        """Nobody is in line."""
        self.length = 0
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        """Wait for the calls that came before."""
        self.length += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self.length -= 1
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """The next call goes on."""
        self.length -= 1
        self._lock.release()
