# SPDX-License-Identifier: Apache-2.0
"""Event loops for tests, and connected pairs of asynchronous interfaces."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import uvloop

from libmemif_py import AsyncInterface

TIMEOUT = 20.0
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
numbers = itertools.count()


@contextlib.contextmanager
def runner(name: str) -> Iterator[Callable]:
    """Runs a coroutine function to its end; what the loop would only log is a failure."""
    with asyncio.Runner(loop_factory=LOOPS[name]) as loops:
        failures = []

        async def limited(main) -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: failures.append(context))
            async with asyncio.timeout(2 * TIMEOUT):
                return await main()

        yield lambda main: loops.run(limited(main))
        assert failures == []


def a_path() -> str:
    return f"@aio-{threading.get_native_id()}-{next(numbers)}"


@contextlib.asynccontextmanager
async def pair(rings: int = 1, **options) -> AsyncIterator[tuple[AsyncInterface, AsyncInterface]]:
    """A master and a slave, connected, with so many rings in each direction."""
    path, both = a_path(), {"s2m_rings": rings, "m2s_rings": rings}
    async with (
        AsyncInterface(path, role="master", **both) as one,
        AsyncInterface(path, **both, **options) as other,
    ):
        await one.wait_connected()
        await other.wait_connected()
        yield one, other
