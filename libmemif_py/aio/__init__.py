# SPDX-License-Identifier: Apache-2.0
"""Interfaces for asyncio, built on `loop.add_reader` and `Interface.fileno`; uvloop works too.

Use `AsyncInterface` with `await`, or `create_memif_endpoint` with a protocol of callbacks. They
start no task, and no thread besides the library's own thread, which connects. A call that moves
many packets yields to the event loop after 64 of them. Create them on the event loop that uses
them.
"""

from .interface import AsyncInterface
from .receiving import AsyncAnyQueue
from .transport import MemifTransport, create_memif_endpoint

__all__ = ["AsyncAnyQueue", "AsyncInterface", "MemifTransport", "create_memif_endpoint"]
