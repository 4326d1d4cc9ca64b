# SPDX-License-Identifier: Apache-2.0
"""Interfaces for asyncio, built on `loop.add_reader` and `Interface.fileno`; uvloop works too.

Use `AsyncInterface` with `await`, or `create_memif_endpoint` with a protocol of callbacks. They
start no task, and no thread besides the library's own thread, which connects. Create them on the
event loop that uses them.

A call that need not wait returns without a turn of the event loop. But after 64 packets that came
from a queue so, and after 64 that were sent by an interface so, the next call lets others run
first.
"""

from .interface import AsyncInterface
from .receiving import AsyncAnyQueue
from .transport import MemifTransport, create_memif_endpoint

__all__ = ["AsyncAnyQueue", "AsyncInterface", "MemifTransport", "create_memif_endpoint"]
