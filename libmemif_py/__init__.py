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
    from . import aio, errors
    from .aio import AsyncAnyQueue, AsyncInterface, MemifTransport, create_memif_endpoint
    from .any_queue import AnyQueue
    from .bursts import RxBurst, TxBurst
    from .counters import Counters, RxCounters, TxCounters
    from .details import Details, Peer
    from .errors import (
        AccessError,
        AgainError,
        AlreadyConnectedError,
        AlreadyError,
        ArgumentError,
        BadFileError,
        CallbackError,
        ConnectionRefused,
        CookieError,
        DetailsSizeError,
        Disconnected,
        FileLimitError,
        FileNotSocketError,
        ForkedError,
        InterfaceIdError,
        MemifError,
        MoreWaitingError,
        NoConnectionError,
        NoFileError,
        NoMemoryError,
        PollCancelled,
        ProcessFileLimitError,
        ProtocolMismatchError,
        QueueError,
        RegionLimitError,
        RingFullError,
        RingLimitError,
        RingSizeError,
        SignalError,
        SystemCallError,
        Timeout,
        WaitError,
    )
    from .interface import Interface
    from .process import Process, ProcessInterface, ProcessQueue, processes

    __version__: str

__all__ = [
    "AccessError",
    "AgainError",
    "AlreadyConnectedError",
    "AlreadyError",
    "AnyQueue",
    "ArgumentError",
    "AsyncAnyQueue",
    "AsyncInterface",
    "BadFileError",
    "CallbackError",
    "ConnectionRefused",
    "CookieError",
    "Counters",
    "Details",
    "DetailsSizeError",
    "Disconnected",
    "FileLimitError",
    "FileNotSocketError",
    "ForkedError",
    "Interface",
    "InterfaceIdError",
    "MemifError",
    "MemifTransport",
    "MoreWaitingError",
    "NoConnectionError",
    "NoFileError",
    "NoMemoryError",
    "Peer",
    "PollCancelled",
    "Process",
    "ProcessFileLimitError",
    "ProcessInterface",
    "ProcessQueue",
    "ProtocolMismatchError",
    "QueueError",
    "RegionLimitError",
    "RingFullError",
    "RingLimitError",
    "RingSizeError",
    "RxBurst",
    "RxCounters",
    "SignalError",
    "SystemCallError",
    "Timeout",
    "TxBurst",
    "TxCounters",
    "WaitError",
    "aio",
    "create_memif_endpoint",
    "errors",
    "processes",
]

# The modules in libmemif_py.adapters need other packages: import them by name.
_HOMES = {
    "AccessError": "errors",
    "AgainError": "errors",
    "AlreadyConnectedError": "errors",
    "AlreadyError": "errors",
    "AnyQueue": "any_queue",
    "ArgumentError": "errors",
    "AsyncAnyQueue": "aio",
    "AsyncInterface": "aio",
    "BadFileError": "errors",
    "CallbackError": "errors",
    "ConnectionRefused": "errors",
    "CookieError": "errors",
    "Counters": "counters",
    "Details": "details",
    "DetailsSizeError": "errors",
    "Disconnected": "errors",
    "FileLimitError": "errors",
    "FileNotSocketError": "errors",
    "ForkedError": "errors",
    "Interface": "interface",
    "InterfaceIdError": "errors",
    "MemifError": "errors",
    "MemifTransport": "aio",
    "MoreWaitingError": "errors",
    "NoConnectionError": "errors",
    "NoFileError": "errors",
    "NoMemoryError": "errors",
    "Peer": "details",
    "PollCancelled": "errors",
    "Process": "process",
    "ProcessFileLimitError": "errors",
    "ProcessInterface": "process",
    "ProcessQueue": "process",
    "ProtocolMismatchError": "errors",
    "QueueError": "errors",
    "RegionLimitError": "errors",
    "RingFullError": "errors",
    "RingLimitError": "errors",
    "RingSizeError": "errors",
    "RxBurst": "bursts",
    "RxCounters": "counters",
    "SignalError": "errors",
    "SystemCallError": "errors",
    "Timeout": "errors",
    "TxBurst": "bursts",
    "TxCounters": "counters",
    "WaitError": "errors",
    "__version__": "_install",
    "aio": "aio",
    "create_memif_endpoint": "aio",
    "errors": "errors",
    "processes": "process",
}

_RENAMED = {"__version__": "VERSION"}

# Modules that a build makes.
_BUILT = ("_install", "_native", "_pcap")


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name in _BUILT:
        _check_built(name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Not importlib: this also runs for `from . import errors` in a cold start.
    module = __import__(f"{__name__}.{_HOMES[name]}", fromlist=("__name__",))
    value = module if name == _HOMES[name] else getattr(module, _RENAMED.get(name, name))
    globals()[name] = value
    return value


def _check_built(name: str) -> None:
    """Python asks for the attribute before it imports the module, so this can say what is wrong."""
    from importlib.util import find_spec

    if find_spec(f"{__name__}.{name}") is None:
        package = __path__[0]
        checkout = package.rpartition("/")[0]
        raise ImportError(
            f"{package} holds only the sources of {__name__}, without what a build adds ({name}): "
            f"run ./bootstrap demo in {checkout}, then .venv/bin/python -P; "
            f"or, where the package is installed, start Python outside of {checkout}",
            name=f"{__name__}.{name}",
        )


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
