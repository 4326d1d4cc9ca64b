# SPDX-License-Identifier: Apache-2.0
"""Listening control sockets: one that we make, with its file, or one that somebody else made."""

from __future__ import annotations

import _socket
import _stat
import errno
import posix

from .. import errors
from . import socket_path, system
from .channel import SEQPACKET, Channel
from .steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Options that a socket inherits from its listener, and that add control data to each message.
_PASSING = (_socket.SO_PASSCRED, 34, 76)  # and SO_PASSSEC, SO_PASSPIDFD
_DGRAM = _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
_BACKLOG = 1024


class Access:
    """Who may connect to a socket file: its mode and owner. -1: as the kernel makes the file."""

    __slots__ = ("gid", "mode", "uid")

    def __init__(self, mode: int = -1, uid: int = -1, gid: int = -1) -> None:
        """`mode` holds permissions only, 0 to 0o777."""
        self.mode = mode
        self.uid = uid
        self.gid = gid

    def __eq__(self, other: object) -> bool:
        """Equal when it asks for the same."""
        return isinstance(other, Access) and self._asked() == other._asked()

    __hash__ = None  # type: ignore[assignment] # as Python does by itself, but said

    def __bool__(self) -> bool:
        """False when it asks for nothing."""
        return self._asked() != (-1, -1, -1)

    def _asked(self) -> tuple[int, int, int]:
        return self.mode, self.uid, self.gid

    def tighten(self, fd: int) -> None:
        """Before bind: the file gets the mode of the socket, less the bits of the umask.

        The umask belongs to the whole process, so a library must not change it, not even for a
        moment.
        """
        if self.mode >= 0:
            system.fchmod(fd, 0)

    def apply(self, name: bytes, folder: int) -> None:
        """After bind and before listen, so that nobody has connected yet. Raises OSError.

        Whoever can write in the folder may have replaced the file. So only a socket of our own is
        changed, through a descriptor and not by its name; if a mode is to be set, only one without
        any permission.
        """
        if not self:
            return
        file = system.open(name, posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC, dir_fd=folder)
        with Steps() as steps:
            steps.take(self._apply_to, file, name)
            steps.take(posix.close, file)

    def _apply_to(self, file: int, name: bytes) -> None:
        self._check_ours(system.fstat(file), name)
        where = f"/proc/self/fd/{file}"
        system.chown(where, self.uid, self.gid)
        if self.mode >= 0:
            system.chmod(where, self.mode)

    def _check_ours(self, found: posix.stat_result, name: bytes) -> None:
        is_ours = _stat.S_ISSOCK(found.st_mode) and found.st_uid == system.geteuid()
        if not is_ours or (self.mode >= 0 and _stat.S_IMODE(found.st_mode) != 0):
            text = f"{socket_path.shown(name)} was replaced by another process meanwhile"
            raise errors.AccessError(text)


class ListeningSocket:
    """A bound and listening control socket. Owns the socket and the file that it made."""

    def __init__(self, path: bytes, lib: Any, access: Access | None = None) -> None:
        """Bind and listen. `lib`: see Channel.

        A stale socket file is replaced. Raises FileNotSocketError if something else is there,
        AlreadyError if a process listens on it, ArgumentError for an impossible path, OSError.
        """
        socket_path.check(path)
        self._lib = lib
        access = access or Access()
        if access and socket_path.is_abstract(path):
            text = "an abstract socket has no mode and no owner, use a path, or `allow`"
            raise errors.ArgumentError(text)
        self._path = path
        self._file: tuple[int, int] | None = None
        self._socket = system.Socket(_socket.AF_UNIX, SEQPACKET, 0)
        try:
            if socket_path.is_abstract(path):
                self._bind(b"\0" + path[1:])
                self._socket.listen(_BACKLOG)
            else:
                self._make_file(access)
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self.close)

    def _make_file(self, access: Access) -> None:
        """While we have the turn, no other master looks for a stale file."""
        self._find_stale_file()
        with socket_path.Turn(self._path) as turn:
            if self._find_stale_file():
                _unlink(self._path)
            access.tighten(self._socket.fileno())
            self._bind(turn.address)
            self._file = _identity(turn.name, turn.folder)
            if self._file is None:
                raise errors.AccessError(f"{socket_path.shown(self._path)} was removed meanwhile")
            access.apply(turn.name, turn.folder)
            self._socket.listen(_BACKLOG)
            turn.put_in_place()

    def _bind(self, where: bytes) -> None:
        try:
            self._socket.bind(where)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            text = f"another process made a socket at {socket_path.shown(self._path)}"
            raise errors.AlreadyError(text) from error

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def accept(self) -> Channel:
        """The next connection. Raises BlockingIOError when none waits, OSError."""
        return _accept_from(self._socket, self._lib, self._path)

    def close(self) -> None:
        """Close the socket and remove its file, unless another one has taken its place.

        Raises OSError when the file may not be removed; the socket is closed all the same.
        """
        with Steps() as steps:
            # While we listen, no other master replaces the file.
            steps.take(self._remove_file)
            steps.take(self._socket.close)

    def abandon(self) -> None:
        """In a forked child: close the copy of the socket; the file stays, it is the parent's."""
        self._file = None
        self._socket.close()

    def _remove_file(self) -> None:
        file, self._file = self._file, None
        if file is not None and file == _identity(self._path):
            _unlink(self._path)

    def _find_stale_file(self) -> bool:
        """Whether a stale file is there. Raises if another kind of file is, or a listener."""
        try:
            mode = system.lstat(self._path).st_mode
        except FileNotFoundError:
            return False
        if not _stat.S_ISSOCK(mode):
            raise errors.FileNotSocketError(
                f"{socket_path.shown(self._path)} exists and is not a socket"
            )
        if _somebody_listens(self._path):
            raise errors.AlreadyError(f"another process listens on {socket_path.shown(self._path)}")
        return True


def _identity(path: bytes, folder: int | None = None) -> tuple[int, int] | None:
    """Of the file there, if there is one. Raises OSError."""
    try:
        found = system.lstat(path, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


class AdoptedSocket:
    """A listening control socket that somebody else made and keeps.

    It becomes and stays non-blocking, for every process that shares it. All of these wake up for a
    connection and one gets it; the others must not block until the next. There is no other way:
    accept has no flag for it, and a process that set the mode only for the time of its own call
    would unset it in the middle of another's.
    """

    def __init__(self, fd: int, lib: Any) -> None:
        """`lib`: see Channel. Raises ArgumentError unless `fd` is a listening unix socket of the
        right type."""
        self._lib = lib
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
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor that was adopted."""
        return self._fd

    def accept(self) -> Channel:
        """As ListeningSocket.accept."""
        self._socket.setblocking(False)  # another process that has it may have changed that
        return _accept_from(self._socket, self._lib)

    def close(self) -> None:
        """Close our copy; the socket stays open."""
        self._socket.close()

    def abandon(self) -> None:
        """The same in a forked child."""
        self._socket.close()


def _socket_on_copy(fd: int) -> _socket.socket:
    return _socket_of(system.dup(fd))


def _socket_of(fd: int) -> _socket.socket:
    """It owns the descriptor, which is closed if it is no socket."""
    try:
        return system.Socket(-1, -1, -1, fd)
    except BaseException as error:
        with Steps(error) as steps:
            steps.take(posix.close, fd)
        raise


def _accept_from(listening: _socket.socket, lib: Any, path: bytes = b"") -> Channel:
    accept: Callable[[], tuple[int, Any]] = listening._accept  # type: ignore[attr-defined]
    sock = _socket_of(accept()[0])
    try:
        sock.setblocking(False)
        _pass_nothing(sock)
        return Channel(sock, lib, path, is_accepted=True)
    except BaseException as error:
        with Steps(error) as steps:
            steps.take(
                lib.mif_untrusted_close, sock.detach()
            )  # the peer is not known, so it may be untrusted
        raise


def _pass_nothing(sock: _socket.socket) -> None:
    """Switch off what somebody else's listener had set: it would take room of descriptors."""
    for option in _PASSING:
        try:
            sock.setsockopt(_socket.SOL_SOCKET, option, 0)
        except OSError:
            continue  # a kernel that does not know it does not pass it


def _somebody_listens(path: bytes) -> bool:
    """Asks by connecting with a socket of another type.

    If there is a socket, the kernel answers that the types differ, and its owner notices nothing. A
    connection that ends at once would crash VPP.
    """
    asking = system.Socket(_socket.AF_UNIX, _DGRAM, 0)
    try:
        with socket_path.Found(path) as where:
            asking.connect(where)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError as error:
        if system.is_denied(error):
            raise
        return True
    else:
        return True  # a datagram socket: not ours to remove either
    finally:
        asking.close()


def _unlink(path: bytes) -> None:
    try:
        system.unlink(path)
    except FileNotFoundError:
        return
