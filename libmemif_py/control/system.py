# SPDX-License-Identifier: Apache-2.0
"""System calls of the control plane. The text of their OSErrors begins with the call's name.

"Operation not permitted" alone does not tell which of forty calls a seccomp filter, a file system
or a limit refused. So no other module of the control plane makes a system call that can fail. The
names are those that a seccomp filter uses: where Python makes another call, such as fcntl for
`dup`, the name is that of the call that is made.

`posix` holds the functions of the module `os`, which takes 0.8 ms to import.
"""

from __future__ import annotations

import _socket
import errno
import fcntl as _fcntl
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeGuard

_LAST_UID = 0xFFFFFFFF - 4095  # what is above is a negative errno


def named(error: OSError, call: str) -> OSError:
    """The same error, with the call in its text."""
    error.strerror = f"{call}: {error.strerror}"
    return error


def is_denied(error: BaseException) -> TypeGuard[OSError]:
    """Whether the system has no such call for us, as under a seccomp filter."""
    return isinstance(error, OSError) and error.errno in (errno.EPERM, errno.ENOSYS)


def _of(module: Any, function: str, call: str | None = None) -> Callable[..., Any]:
    """`module.function`, whose errors have a name. It is looked up at each call."""

    def called(*arguments: Any, **options: Any) -> Any:
        return named_call(call or function, getattr(module, function), *arguments, **options)

    return called


def named_call(call: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What `function` returns; its errors have the name."""
    try:
        return function(*arguments, **options)
    except OSError as error:
        named(error, call)
        raise


def reason_of(error: OSError) -> str:
    """Why a call failed."""
    return error.strerror or str(error)


def geteuid() -> int:
    """By its manual it cannot fail, so the C library returns a seccomp filter's error as a user."""
    uid = posix.geteuid()
    if not 0 <= uid <= _LAST_UID:
        raise OSError(errno.EPERM, "geteuid: denied")
    return uid


chmod = _of(posix, "chmod")
chown = _of(posix, "chown")
dup = _of(posix, "dup", "fcntl")
eventfd = _of(posix, "eventfd", "eventfd2")
fchmod = _of(posix, "fchmod")
fcntl = _of(_fcntl, "fcntl")
fstat = _of(posix, "fstat")
fstatvfs = _of(posix, "fstatvfs", "fstatfs")
flock = _of(_fcntl, "flock")
ftruncate = _of(posix, "ftruncate")
lstat = _of(posix, "lstat")
memfd_create = _of(posix, "memfd_create")
open = _of(posix, "open", "openat")
read = _of(posix, "read")
readlink = _of(posix, "readlink")
rename = _of(posix, "rename", "renameat")
set_blocking = _of(posix, "set_blocking", "ioctl")
socketpair = _of(_socket, "socketpair")
stat = _of(posix, "stat")


def unlink(path: bytes, *, dir_fd: int | None = None) -> None:
    """As posix.unlink, which makes one of two calls."""
    named_call("unlink" if dir_fd is None else "unlinkat", posix.unlink, path, dir_fd=dir_fd)


class Socket(_socket.socket):
    """A socket whose errors have a name."""

    def __init__(self, *arguments: Any) -> None:
        """As the one of the C part of the socket module; -1 three times and a descriptor: that."""
        named_call("getsockname" if len(arguments) > 3 else "socket", super().__init__, *arguments)


def _method(name: str, call: str | None = None) -> Callable[..., Any]:
    def called(self: Socket, *arguments: Any) -> Any:
        return named_call(call or name, getattr(_socket.socket, name), self, *arguments)

    called.__name__ = name
    return called


for _name, _call in (
    *(("_accept", "accept4"), ("setblocking", "ioctl")),
    *((name, None) for name in ("bind", "connect", "getsockopt", "listen", "recvmsg", "sendmsg")),
    *((name, None) for name in ("setsockopt", "shutdown")),
):
    setattr(Socket, _name, _method(_name, _call))
