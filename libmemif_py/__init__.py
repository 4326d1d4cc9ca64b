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
    from .errors import MemifError
    from .interface import Details, Interface, Peer, Timeout

__all__ = ["Details", "Interface", "MemifError", "Peer", "Timeout", "errors"]

_HOMES = {
    "Details": "interface",
    "Interface": "interface",
    "MemifError": "errors",
    "Peer": "interface",
    "Timeout": "interface",
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
