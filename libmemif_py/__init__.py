# SPDX-License-Identifier: Apache-2.0
"""memif for Python: packets between processes over shared memory.

    from libmemif_py import Interface

    with Interface("/run/vpp/memif.sock", role="slave", id=0) as memif:
        memif.wait_connected(timeout=5)
        memif.send(b"...")
        packet = memif.recv(timeout=1)

A name is loaded when it is first used, because the interpreter inside libmemif.so imports this
package too, and has to start quickly.
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


# Modules that a build makes.
_BUILT = ("_install", "_native")


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name in _BUILT:
        _check_built(name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not importlib: this also runs for `from . import errors` in a cold start.
    module = __import__(f"{__name__}.{_HOMES[name]}", fromlist=("__name__",))
    value = module if name == "errors" else getattr(module, name)
    globals()[name] = value
    return value


def _check_built(name: str) -> None:
    """Python asks for the attribute before it imports the module, so this can say what is wrong."""
    from importlib.util import find_spec

    if find_spec(f"{__name__}.{name}") is None:
        package = __path__[0]
        raise ImportError(
            f"{package} holds only the sources of {__name__}, without what a build adds ({name}): "
            f"run ./bootstrap demo in {package.rpartition('/')[0]}, then .venv/bin/python -P",
            name=f"{__name__}.{name}",
        )


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
