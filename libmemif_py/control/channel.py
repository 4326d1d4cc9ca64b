# SPDX-License-Identifier: Apache-2.0
"""The socket of a control connection. A datagram is a message of 128 bytes, with descriptors.

`_socket` is the C part of the socket module. The rest of that module takes longer to import than
the whole control plane.
"""

from __future__ import annotations

import _socket
import _stat
import errno
import posix
import struct

from .. import errors
from . import socket_path, system
from .steps import Steps
from .trust import is_trusted
from .wire import MESSAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

MAX_FDS = 253  # what the kernel lets travel with one message
_FD = struct.Struct("i")
_NO_LINGER = struct.pack("2i", 0, 0)
_CREDENTIALS = struct.Struct("3i")
SEQPACKET = _socket.SOCK_SEQPACKET | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
_EVENTFD = "anon_inode:[eventfd]"
_SO_PEERPIDFD = 77  # <asm-generic/socket.h>, Linux 6.5
_START_TIME = 19  # in /proc/PID/stat, counted from behind the name of the program

trace: Callable[[Channel, bool, bytes, int], None] | None = None
"""Gets each message of each connection: whether it is ours, and how many descriptors it has, -1 if
that was not found out. An empty message is the end. It is called with locks held, must not raise.
"""


class Channel:
    """One end of a control connection. Owns its socket.

    To receive or to close a descriptor of an untrusted peer can block (native/core/untrusted.h). So
    a message of such a peer is looked at before it is received, and one with descriptors is not
    received here at all.
    """

    def __init__(
        self, sock: _socket.socket, lib: Any, path: bytes = b"", *, is_accepted: bool = False
    ) -> None:
        """Take over a connected, non-blocking socket. `lib` is that of the core.

        `path` is that of the listening socket, whose owner we are if `is_accepted`.
        """
        self.path = path
        self.is_accepted = is_accepted
        self._socket = sock
        self._lib = lib
        self.peer = _peer_of(sock)
        """Process id, user id and group id, as the kernel noted them at connect or listen."""
        self.is_trusted = is_trusted(self.peer)
        if not self.is_trusted:
            lib.mif_untrusted_begin()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def send(self, data: bytes, fd: int | None = None) -> None:
        """Send one message, with a copy of `fd`. Raises OSError; never blocks."""
        extra = [] if fd is None else [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _FD.pack(fd))]
        self._socket.sendmsg([data], extra, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        self.record(True, data, len(extra))

    def record(self, is_ours: bool, data: bytes, fds: int) -> None:
        """Give a message to `trace`, if there is one."""
        if trace is not None:
            trace(self, is_ours, data, fds)

    def receive(self) -> tuple[bytes, list[int]]:
        """The next message and the descriptors that came with it, which the caller owns.

        The end of the connection is an empty message. One byte more than a message is asked for, so
        that a longer one is noticed. Raises BlockingIOError when no message waits, FdsWaiting when
        the message of an untrusted peer has descriptors, OSError also when there was no room for a
        descriptor of the message.
        """
        data, fds = self._receive()
        self.record(False, data, len(fds))
        return data, fds

    def _receive(self) -> tuple[bytes, list[int]]:
        if self.is_trusted:
            return _receive_on(self._socket, MESSAGE_SIZE + 1)
        data, has_fds = self._look()
        if has_fds:
            raise FdsWaiting(data)
        return self._socket.recvmsg(MESSAGE_SIZE + 1, 0, _socket.MSG_DONTWAIT)[0], []

    def _look(self) -> tuple[bytes, bool]:
        """The next message, which stays in the socket, and whether it has descriptors."""
        flags = _socket.MSG_DONTWAIT | _socket.MSG_PEEK
        data, _, answer, _ = self._socket.recvmsg(MESSAGE_SIZE + 1, 0, flags)
        return data, bool(answer & _socket.MSG_CTRUNC)

    def identity(self) -> str | None:
        """Names the process that connected: no other process ever has the same name.

        None where the kernel does not tell: before Linux 6.9, for a process that has ended or that
        our PID namespace does not show.
        """
        return self._by_pidfd() or _started(self.peer[0])

    def _by_pidfd(self) -> str | None:
        """From the inode that all pidfds of a process have, also in other namespaces."""
        try:
            fd = self._socket.getsockopt(_socket.SOL_SOCKET, _SO_PEERPIDFD)
        except OSError:
            return None
        found = _stat_and_close(fd)
        try:
            of_any = _stat_and_close(system.eventfd(0, posix.EFD_CLOEXEC))
        except OSError:
            return None  # out of descriptors
        # Before Linux 6.9 pidfds share one inode with each other and with eventfds.
        return None if _is_same_file(found, of_any) else f"pidfd {found.st_ino}"

    def close(self) -> None:
        """Close the socket. May be called twice.

        Messages that nobody has read are read first. Otherwise the kernel would close the
        descriptors in them, which can block (see close_fds), and the peer would see a reset in
        place of our last message. The socket of an untrusted peer is left to a thread that may
        block.
        """
        if self._socket.fileno() < 0:
            return
        self._read_the_rest()
        self.record(True, b"", 0)
        if self.is_trusted:
            self._socket.close()
            return
        # What looks like the end may be an empty message, with others behind it.
        self._lib.mif_untrusted_close(self._socket.detach())
        self._lib.mif_untrusted_end()

    def _read_the_rest(self) -> None:
        try:
            self._socket.shutdown(_socket.SHUT_RD)  # from now on no more can come
            while (rest := self._receive()) != (b"", []):
                close_fds(rest[1])
        except (FdsWaiting, OSError):
            return  # or the peer is gone

    def abandon(self) -> None:
        """In a forked child: close the copy of the socket, and the connection goes on.

        If the parent has closed its own already, this is the last close.
        """
        if self.is_trusted:
            self._socket.close()
        elif self._socket.fileno() >= 0:
            self._lib.mif_untrusted_close(self._socket.detach())


def _stat_and_close(fd: int) -> posix.stat_result:
    try:
        return system.fstat(fd)
    finally:
        posix.close(fd)


def _is_same_file(one: posix.stat_result, other: posix.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _started(pid: int) -> str | None:
    """A process id is used again, but not with the same start time."""
    try:
        fd = system.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        fields = system.read(fd, 4096).rpartition(b")")[2].split()
    except OSError:
        return None  # it has ended meanwhile
    finally:
        posix.close(fd)
    return f"pid {pid} started {int(fields[_START_TIME])}"


class FdsWaiting(Exception):
    """The next message, of an untrusted peer, has descriptors. `data` are its bytes."""

    def __init__(self, data: bytes) -> None:
        """The message stays in the socket."""
        super().__init__("descriptors of a peer that is not trusted")
        self.data = data


class UntrustedMessage:
    """A message of an untrusted peer, with descriptors, which a thread of its own receives.

    See native/core/untrusted.h. Owns the socket on which the thread answers.
    """

    _REPLY = struct.Struct("@iII")

    def __init__(self, channel: Channel, kind: int, check: Callable[[int, str], None]) -> None:
        """Begin; the answer can be read from `fileno()`. `kind`: enum mif_fd_kind."""
        self._channel = channel
        self._socket, theirs = _socket_pair()
        try:
            code = channel._lib.mif_untrusted_receive(channel.fileno(), theirs.fileno(), kind)
            check(code, "descriptors of a peer that is not trusted")
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def fileno(self) -> int:
        """Readable when there is an answer."""
        return self._socket.fileno()

    def answer(self) -> tuple[bytes, list[int], int]:
        """The message, its descriptor if it had one and that is good, how many it had.

        Raises OSError.
        """
        data, fds = _receive_on(self._socket, self._REPLY.size + MESSAGE_SIZE + 4)
        if not data:
            raise OSError(errno.EIO, "a message with descriptors could not be received")
        error, count, length = self._REPLY.unpack_from(data)
        if error:
            raise system.named(OSError(error, posix.strerror(error)), "recvmsg")
        message = data[self._REPLY.size :][:length]
        self._channel.record(False, message, count)
        return message, fds, count

    def close(self) -> None:
        """Drop the answer, if it has not been read. Its descriptor is harmless then."""
        self._socket.close()


def _socket_pair() -> tuple[_socket.socket, _socket.socket]:
    pair = system.socketpair(_socket.AF_UNIX, SEQPACKET, 0)
    ours, theirs = (system.Socket(_socket.AF_UNIX, SEQPACKET, 0, end.detach()) for end in pair)
    return ours, theirs


def _peer_of(sock: _socket.socket) -> tuple[int, int, int]:
    option = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(option)


def _receive_on(sock: _socket.socket, size: int) -> tuple[bytes, list[int]]:
    """One message of at most `size` bytes, and its descriptors. The sender must be trusted."""
    room = _socket.CMSG_SPACE(MAX_FDS * _FD.size)
    flags = _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
    data, extra, answer, _ = sock.recvmsg(size, room, flags)
    fds: list[int] = []
    for level, kind, payload in extra:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            whole = len(payload) // _FD.size * _FD.size
            fds += [fd for (fd,) in _FD.iter_unpack(payload[:whole])]
    if answer & _socket.MSG_CTRUNC:
        close_fds(fds)
        raise OSError(errno.EMFILE, "a descriptor of the peer's did not fit the process's limit")
    return data, fds


def connect(path: bytes, lib: Any) -> Channel:
    """Connect to a listening master. Raises OSError, ArgumentError for an impossible path."""
    with socket_path.Found(path) as where:
        try:
            return _connect_to(where, lib, path)
        except ConnectionRefusedError as error:
            if not socket_path.is_abstract(path):
                kind = socket_path.other_kind(path)
                if kind:
                    error.strerror = f"connect: a {kind} is there, expected a socket"
                raise
            # Some masters bind an abstract name padded to the full length of an address.
            return _connect_to(where.ljust(socket_path.MAX_ADDRESS + 1, b"\0"), lib, path)


def _connect_to(where: bytes, lib: Any, path: bytes) -> Channel:
    sock = system.Socket(_socket.AF_UNIX, SEQPACKET, 0)
    try:
        sock.connect(where)
    except BaseException as error:
        with Steps(error) as steps:
            steps.take(sock.close)
    return Channel(sock, lib, path)


def check_eventfd(fd: int) -> None:
    """Raise BadFileError unless `fd` is an eventfd.

    Bursts write signals to it and read them from it. A pipe that nobody reads would end the process
    with SIGPIPE, other files would keep what we write.
    """
    try:
        what = system.readlink(f"/proc/self/fd/{fd}")
    except OSError:  # no /proc, or denied: at least it is no pipe, socket, device or file
        kind = _stat.S_IFMT(system.fstat(fd).st_mode)
        what = _EVENTFD if kind == 0 else f"a file of type {kind:#o}"
    if what != _EVENTFD:
        raise errors.BadFileError(f"the fd of a ring is no eventfd but {what}")


def close_fds(fds: Sequence[int]) -> None:
    """Close each descriptor, also after one that failed.

    To close a socket may wait for its data to be sent, so lingering is switched off first. `close`
    may report an error of the file. The descriptor is closed all the same, and nobody needs the
    error.
    """
    for fd in fds:
        _end_lingering(fd)
        try:
            posix.close(fd)
        except OSError:
            continue


def _end_lingering(fd: int) -> None:
    try:
        sock = system.Socket(-1, -1, -1, fd)
    except OSError:
        return  # no socket
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _NO_LINGER)
    except OSError:
        return  # of a kind that does not linger
    finally:
        sock.detach()
