# SPDX-License-Identifier: Apache-2.0
"""The errors of libmemif as exceptions, one class for each error code of the C API.

`code` of a class is the name of its error code without the prefix `MEMIF_ERR_`. Each class also
inherits from a builtin exception, so `except ConnectionError` and the like work as usual.
"""

from __future__ import annotations


class MemifError(Exception):
    """Base of all errors of the library. `code` names the error code of the C API."""

    code = "SYSCALL"


class SystemCallError(MemifError, OSError):
    """A system call failed; the message says which and why."""


class ConnectionRefused(MemifError, ConnectionRefusedError):
    """Nobody listens on the socket."""

    code = "CONNREFUSED"


class AccessError(MemifError, PermissionError):
    """Permission denied on the socket's path."""

    code = "ACCES"


class NoFileError(MemifError, FileNotFoundError):
    """The socket's folder does not exist."""

    code = "NO_FILE"


class FileLimitError(MemifError, OSError):
    """The system is out of file descriptors."""

    code = "FILE_LIMIT"


class ProcessFileLimitError(MemifError, OSError):
    """The process is out of file descriptors."""

    code = "PROC_FILE_LIMIT"


class AlreadyError(MemifError, OSError):
    """Another process listens on the socket already."""

    code = "ALREADY"


class ForkedError(MemifError, RuntimeError):
    """The object belongs to the parent of this forked process. Make a new one in this process."""


class AgainError(MemifError, BlockingIOError):
    """Not possible now. A later call may succeed."""

    code = "AGAIN"


class BadFileError(MemifError, OSError):
    """Not an open file descriptor, or not one of the library's."""

    code = "BAD_FD"


class NoMemoryError(MemifError, MemoryError):
    """Out of memory."""

    code = "NOMEM"


class ArgumentError(MemifError, ValueError):
    """The value of an argument is not valid."""

    code = "INVAL_ARG"


class NoConnectionError(MemifError, ConnectionError):
    """The interface was closed."""

    code = "NOCONN"


class FileNotSocketError(MemifError, OSError):
    """The socket path exists and is not a socket."""

    code = "FILE_NOT_SOCK"


class CallbackError(MemifError, RuntimeError):
    """The application's file descriptor callback failed."""

    code = "CB_FDUPDATE"


class CookieError(MemifError, ConnectionError):
    """A ring of the peer lacks the cookie, a number that marks its start."""

    code = "COOKIE"


class RingFullError(MemifError, BufferError):
    """Not enough free slots in the ring."""

    code = "NOBUF_RING"


class MoreWaitingError(MemifError, BufferError):
    """More packets wait than the call has room for."""

    code = "NOBUF"


class DetailsSizeError(MemifError, BufferError):
    """The buffer for the details is too small."""

    code = "NOBUF_DET"


class SignalError(MemifError, OSError):
    """The peer could not be signalled."""

    code = "INT_WRITE"


class QueueError(MemifError, IndexError):
    """No such queue."""

    code = "QID"


class ProtocolMismatchError(MemifError, ConnectionError):
    """The ends have no protocol version in common, or one sent an unexpected message."""

    code = "PROTO"


class InterfaceIdError(MemifError, ValueError):
    """No interface has this id, or another interface already has it."""

    code = "ID"


class AlreadyConnectedError(MemifError, ConnectionError):
    """The interface is connected already."""

    code = "ALRCONN"


class RegionLimitError(MemifError, ConnectionError):
    """Too many regions, or a region that cannot be used."""

    code = "MAXREG"


class RingLimitError(MemifError, ConnectionError):
    """Too many rings."""

    code = "MAXRING"


class RingSizeError(MemifError, ValueError):
    """The ring is too large, or too small for the protocol version."""

    code = "MAX_RING"


class WaitError(MemifError):
    """A call has waited in vain: Timeout or Disconnected. It may work later."""


class Disconnected(WaitError, ConnectionError):
    """The interface is not connected."""

    code = "DISCONNECTED"


class PollCancelled(MemifError):
    """Polling was cancelled."""

    code = "POLL_CANCEL"


BY_CODE: dict[str, type[MemifError]] = {
    kind.code: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, MemifError) and kind is not MemifError
}
BY_CODE["SYSCALL"] = SystemCallError


def make(code: str, text: str) -> MemifError:
    """The exception for the name of an error code."""
    error = BY_CODE.get(code, MemifError)(text)
    error.code = code
    return error


# After BY_CODE, in which AGAIN stands for AgainError.
class Timeout(WaitError, TimeoutError):
    """No packet came, no room to send, or no link within the given time."""

    code = "AGAIN"
