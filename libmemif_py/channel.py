# SPDX-License-Identifier: Apache-2.0
"""The control socket: one message of 128 bytes per datagram, file descriptors alongside.

`_socket` is the C part of the socket module; the rest of that module takes longer to import than
the whole control plane.
"""

from __future__ import annotations

import _socket
import os
import stat
import struct

from . import errors
from .wire import MESSAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PATH = 107  # sun_path keeps a terminating NUL
MAX_FDS = 253  # what the kernel lets travel with one message
_FD = struct.Struct("i")
_CREDENTIALS = struct.Struct("3i")
_SEQPACKET = _socket.SOCK_SEQPACKET | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
_BACKLOG = 1024


def address(path: bytes) -> bytes:
    """The socket address for a path; "@name" is an abstract name.

    Raises ArgumentError for an empty path or one that does not fit an address.
    """
    if path.startswith(b"@"):
        path = b"\0" + path[1:]
    if not 0 < len(path) <= MAX_PATH:
        shown = path.decode("utf-8", "replace")
        text = f"socket path {shown!r} has {len(path)} bytes, expected 1 to {MAX_PATH}"
        raise errors.ArgumentError(text)
    return path


class Channel:
    """One end of a control connection. Owns its socket."""

    def __init__(self, sock: _socket.socket) -> None:
        """Take over a connected, non-blocking socket."""
        self._socket = sock

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def send(self, data: bytes, fd: int | None = None) -> None:
        """Send one message, with a copy of `fd`. Raises OSError; never blocks."""
        extra = [] if fd is None else [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _FD.pack(fd))]
        self._socket.sendmsg([data], extra, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[bytes, list[int]]:
        """The next message and the descriptors that came with it, which the caller owns.

        An end of the connection is an empty message. One byte more than a message is asked for, so
        that a longer one shows. Raises BlockingIOError when nothing waits.
        """
        room = _socket.CMSG_SPACE(MAX_FDS * _FD.size)
        flags = _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
        data, extra, _, _ = self._socket.recvmsg(MESSAGE_SIZE + 1, room, flags)
        fds: list[int] = []
        for level, kind, payload in extra:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                whole = len(payload) // _FD.size * _FD.size
                fds += [fd for (fd,) in _FD.iter_unpack(payload[:whole])]
        return data, fds

    def peer(self) -> tuple[int, int, int]:
        """Process id, user id and group id of the peer, as the kernel noted them at connect."""
        option = self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
        return _CREDENTIALS.unpack(option)

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._socket.close()


def connect(path: bytes) -> Channel:
    """Connect to a listening master. Raises OSError."""
    where = address(path)
    try:
        return _connect_to(where)
    except ConnectionRefusedError:
        if not where.startswith(b"\0"):
            raise
        # Some masters bind an abstract name padded to the full length of an address.
        return _connect_to(where.ljust(MAX_PATH + 1, b"\0"))


def _connect_to(where: bytes) -> Channel:
    sock = _socket.socket(_socket.AF_UNIX, _SEQPACKET, 0)
    try:
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return Channel(sock)


class ListeningSocket:
    """A bound and listening control socket. Owns the socket and the file that it made."""

    def __init__(self, path: bytes) -> None:
        """Bind and listen.

        A stale socket file is replaced. Raises FileNotSocketError if something else is there,
        AlreadyError if a process listens on it, ArgumentError for an impossible path, OSError.
        """
        self._address = address(path)
        self._file: tuple[int, int] | None = None
        if not self._is_abstract():
            self._remove_stale_file()
        self._socket = _socket.socket(_socket.AF_UNIX, _SEQPACKET, 0)
        try:
            self._socket.bind(self._address)
            self._file = self._file_identity()
            self._socket.listen(_BACKLOG)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def accept(self) -> Channel:
        """The next connection. Raises BlockingIOError when none waits, OSError."""
        return _accept_from(self._socket)

    def close(self) -> None:
        """Close the socket and remove its file, unless another one has taken its place."""
        self._socket.close()
        if self._file is not None and self._file == self._file_identity():
            _unlink(self._address)
        self._file = None

    def _is_abstract(self) -> bool:
        return self._address.startswith(b"\0")

    def _file_identity(self) -> tuple[int, int] | None:
        if self._is_abstract():
            return None
        try:
            found = os.stat(self._address)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _remove_stale_file(self) -> None:
        path = self._address.decode("utf-8", "replace")
        try:
            mode = os.lstat(self._address).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise errors.FileNotSocketError(f"{path!r} exists and is not a socket")
        if _somebody_listens(self._address):
            raise errors.AlreadyError(f"another process listens on {path!r}")
        _unlink(self._address)


class AdoptedSocket:
    """A listening control socket that somebody else made and keeps."""

    def __init__(self, fd: int) -> None:
        """Raises ArgumentError unless `fd` is a listening unix socket of the right type."""
        try:
            self._socket = _socket_on_copy(fd)
        except OSError as error:
            raise errors.ArgumentError(f"fd {fd} is no socket: {error.strerror}") from error
        self._fd = fd
        good = (
            self._socket.family == _socket.AF_UNIX
            and self._socket.type == _socket.SOCK_SEQPACKET
            and self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        )
        if not good:
            self.close()
            text = f"fd {fd} is not a listening AF_UNIX socket of type SOCK_SEQPACKET"
            raise errors.ArgumentError(text)

    def fileno(self) -> int:
        """The descriptor that was adopted."""
        return self._fd

    def accept(self) -> Channel:
        """As ListeningSocket.accept; the socket itself may be a blocking one."""
        return _accept_from(self._socket)

    def close(self) -> None:
        """Let go of it; it stays open."""
        self._socket.close()


def _socket_on_copy(fd: int) -> _socket.socket:
    copy = os.dup(fd)
    try:
        return _socket.socket(-1, -1, -1, copy)
    except BaseException:
        os.close(copy)
        raise


def _accept_from(listening: _socket.socket) -> Channel:
    fd, _ = listening._accept()
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
    sock.setblocking(False)
    return Channel(sock)


def _somebody_listens(where: bytes) -> bool:
    try:
        _connect_to(where).close()
    except ConnectionRefusedError:
        return False
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a full queue, another socket type: not ours to remove
    return True


def _unlink(path: bytes) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def check_peer_eventfd(fd: int) -> None:
    """Raise ArgumentError for what a wake-up must not be written to.

    A pipe without a reader would end the process with SIGPIPE, a file would grow. Only the
    anonymous files of the kernel, like eventfds, have no type; other ones take no writes.
    """
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind != 0:
        raise errors.ArgumentError(f"file of type {kind:#o} instead of an eventfd")


def close_fds(fds: Sequence[int]) -> None:
    """Close each descriptor."""
    for fd in fds:
        os.close(fd)
