# SPDX-License-Identifier: Apache-2.0
"""memif for Python: packets between processes over shared memory.

    from libmemif_py import Interface

    with Interface("/run/vpp/memif.sock", role="slave", id=0) as memif:
        memif.wait_connected(timeout=5)
        memif.send(b"...")
        packet = memif.recv(timeout=1)

The names are loaded when they are first used: the interpreter inside libmemif.so imports this
package too, and its start must stay short.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import errors
    from .aio import AsyncInterface, MemifTransport, create_memif_endpoint
    from .bursts import RxBurst, TxBurst
    from .counters import Counters, RxCounters, TxCounters
    from .details import Details, Peer
    from .errors import MemifError, Timeout
    from .interface import Interface

__all__ = [
    "AsyncInterface",
    "Counters",
    "Details",
    "Interface",
    "MemifError",
    "MemifTransport",
    "Peer",
    "RxBurst",
    "RxCounters",
    "Timeout",
    "TxBurst",
    "TxCounters",
    "create_memif_endpoint",
    "errors",
]

# The modules in libmemif_py.adapters need other packages: import them by name.
_HOMES = {
    "AsyncInterface": "aio",
    "Counters": "counters",
    "Details": "details",
    "Interface": "interface",
    "MemifError": "errors",
    "MemifTransport": "aio",
    "Peer": "details",
    "RxBurst": "bursts",
    "RxCounters": "counters",
    "Timeout": "errors",
    "TxBurst": "bursts",
    "TxCounters": "counters",
    "create_memif_endpoint": "aio",
    "errors": "errors",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not importlib: this also runs for `from . import errors` in a cold start.
    module = __import__(f"{__name__}.{_HOMES[name]}", fromlist=("__name__",))
    value = module if name == "errors" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
