# SPDX-License-Identifier: Apache-2.0
"""Where a socket is: its path, and the address that stands for it.

A socket address holds 107 bytes, a path up to 4,095. A longer one is reached through a descriptor:
/proc/self/fd/N names a socket file, and /proc/self/fd/N/NAME one in a folder.

Masters that want the same path take turns. A master removes a stale socket file, and two masters
that have both seen one would remove each other's. So a master holds a lock file beside it,
`.NAME.lock`, while it looks for a stale file and makes its own. Afterwards it removes the lock
file. One that a killed process left behind is taken over by the next process of the same user;
only root can open it besides. In a folder where others may write, they can put a file of their own
there: the error then names it.

A socket file whose name does not fit an address is made as `.NAME.new` and renamed once the socket
listens.
"""

from __future__ import annotations

import _stat
import errno
import fcntl
import posix

from .. import errors
from . import system
from .steps import Steps

MAX_ADDRESS = 107  # sun_path keeps a terminating NUL
MAX_PATH = 4095  # so does the kernel
_PROC = b"/proc/self/fd"
_SHORT_NAME = 64
# Errors of opening a lock file that somebody else has put there, or that may not be made.
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENXIO)
_LOOKS = 2  # the file may go between two looks at it
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)


_KINDS = {
    _stat.S_ISREG: "plain file",
    _stat.S_ISDIR: "folder",
    _stat.S_ISFIFO: "pipe",
    _stat.S_ISCHR: "device",
    _stat.S_ISBLK: "device",
}


def other_kind(path: bytes) -> str:
    """What is at a path if that is no socket, such as "folder"; else empty."""
    try:
        mode = system.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return next((kind for is_kind, kind in _KINDS.items() if is_kind(mode)), "")


def shown(path: bytes) -> str:
    """A path as errors show it."""
    return repr(path.decode("utf-8", "replace"))


def is_abstract(path: bytes) -> bool:
    """Whether it is a name in the abstract namespace, without a file."""
    return path.startswith(b"@")


def check(path: bytes) -> None:
    """Raise ArgumentError for a path that can never work."""
    most = MAX_ADDRESS if is_abstract(path) else MAX_PATH
    if not 0 < len(path) <= most:
        text = f"socket path {shown(path)} has {len(path)} bytes, expected 1 to {most}"
        raise errors.ArgumentError(text)
    if b"\0" in path and not is_abstract(path):
        text = f"socket path {shown(path)} has a NUL byte at {path.index(0)}, expected none"
        raise errors.ArgumentError(text)
    if len(path) > MAX_ADDRESS and not _is_there(_PROC):
        text = f"socket path {shown(path)} has {len(path)} bytes, expected 1 to {MAX_ADDRESS}"
        raise errors.ArgumentError(f"{text}: longer ones need /proc, which is not mounted")


def _is_there(path: bytes) -> bool:
    try:
        system.stat(path)
    except OSError:
        return False
    return True


class Found:
    """The address to connect to, good inside of a `with` block."""

    def __init__(self, path: bytes) -> None:
        """Raises ArgumentError."""
        check(path)
        self._path = path
        self._fd = -1

    def __enter__(self) -> bytes:
        """Raises OSError."""
        if is_abstract(self._path):
            return b"\0" + self._path[1:]
        if len(self._path) <= MAX_ADDRESS:
            return self._path
        self._fd = system.open(self._path, posix.O_PATH | posix.O_CLOEXEC)
        return b"%s/%d" % (_PROC, self._fd)

    def __exit__(self, *_: object) -> None:
        """The address is not valid any more."""
        if self._fd >= 0:
            posix.close(self._fd)


class TurnTaken(errors.AgainError):
    """Another process is making the socket file, which takes less than a millisecond."""


class Turn:
    """The exclusive right to make the socket file of a path, inside of a `with` block.

    Bind to `address`, set mode and owner of the file `name` in `folder`, listen, then call
    `put_in_place`. A block that ends before that leaves no file under a temporary name.
    """

    def __init__(self, path: bytes) -> None:
        """Raises nothing yet."""
        folder, slash, self._final = path.rpartition(b"/")
        self._path, self._folder_path = path, folder.rstrip(b"/") + slash or b"./"
        short = self._final[:_SHORT_NAME]
        self._lock_name, self._new_name = b".%s.lock" % short, b".%s.new" % short
        self.folder = self._lock = -1
        self.name = self._final

    def __enter__(self) -> Turn:
        """Never waits. Raises OSError; TurnTaken while another process has the turn."""
        self.folder = system.open(
            self._folder_path, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
        )
        try:
            self._take()
            if len(self._long_address(self._final)) > MAX_ADDRESS < len(self._path):
                self.name = self._new_name
                self._remove(self.name)  # of a process that was killed in the middle
        except BaseException as error:
            with Steps(error) as steps:
                steps.take(self._end)
        return self

    @property
    def address(self) -> bytes:
        """To bind to."""
        return self._path if len(self._path) <= MAX_ADDRESS else self._long_address(self.name)

    def _long_address(self, name: bytes) -> bytes:
        return b"%s/%d/%s" % (_PROC, self.folder, name)

    def put_in_place(self) -> None:
        """Give the file its final name. Raises OSError."""
        if self.name != self._final:
            system.rename(self.name, self._final, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            self.name = self._final

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """The turn is over."""
        with Steps(error) as steps:
            if self.name != self._final:
                steps.take(self._remove, self.name)
            steps.take(self._end)

    def _end(self) -> None:
        with Steps() as steps:
            if self._lock >= 0:
                steps.take(self._remove_lock)  # while it is ours
                steps.take(posix.close, self._lock)
            steps.take(posix.close, self.folder)
            self._lock = self.folder = -1

    def _remove(self, name: bytes) -> None:
        try:
            system.unlink(name, dir_fd=self.folder)
        except FileNotFoundError:
            return

    # ---- the lock file ----

    def _remove_lock(self) -> None:
        try:
            self._remove(self._lock_name)
        except PermissionError:  # another user's that all may open: it does not stop us
            return

    def _take(self) -> None:
        if not self._try_to_lock():
            raise TurnTaken(
                f"another process is making {shown(self._path)} and holds {self._lock_path()}"
            )

    def _lock_path(self) -> str:
        return f"the lock file {shown(self._folder_path + self._lock_name)}"

    def _try_to_lock(self) -> bool:
        fd = self._open_lock()
        if fd < 0:
            return True
        try:
            if _lock(fd) and self._is_in_place(fd):
                self._lock = fd
                return True
        finally:
            if self._lock != fd:
                posix.close(fd)
        return False

    def _open_lock(self) -> int:
        """The lock file, or -1 where none can be made: then we go on without."""
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
        for _ in range(_LOOKS):
            try:
                return system.open(self._lock_name, flags, 0o600, dir_fd=self.folder)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
                self._check_lock(error)
        return -1

    def _check_lock(self, error: OSError) -> None:
        """Raise AccessError if a file is there that we cannot open."""
        try:
            found = system.stat(self._lock_name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        raise errors.AccessError(
            f"{self._lock_path()} belongs to user {found.st_uid} and has mode {found.st_mode:#o}, "
            f"expected a file that user {system.geteuid()} can open: remove it ({error.strerror})"
        ) from error

    def _is_in_place(self, fd: int) -> bool:
        """False when its last holder has removed it meanwhile: the name is another file's now."""
        found = system.fstat(fd)
        return self._identity() == (found.st_dev, found.st_ino)

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = system.stat(self._lock_name, dir_fd=self.folder, follow_symlinks=False)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _lock(fd: int) -> bool:
    try:
        system.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS and not system.is_denied(error):
            raise
        # A file system without locks, or a filter that denies the call: go on without.
    return True
