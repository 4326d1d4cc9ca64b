# SPDX-License-Identifier: Apache-2.0
"""An error says which system call failed, by the name that a seccomp filter has for it."""

import errno
import os
import posix
import socket

import pytest

from libmemif_py.control import system

BAD = 1 << 20  # no descriptor
NO_FAMILY = 77
NOWHERE = "/proc/self/nowhere"

# The call, the function and arguments that it refuses.
REFUSED = {
    "chmod": (system.chmod, NOWHERE, 0),
    "chown": (system.chown, NOWHERE, 0, 0),
    "fcntl": (system.fcntl, BAD, 1),
    "dup, which is fcntl": (system.dup, BAD),
    "eventfd2": (system.eventfd, 0, 1 << 20),
    "fchmod": (system.fchmod, BAD, 0),
    "flock": (system.flock, BAD, 0),
    "fstat": (system.fstat, BAD),
    "fstatfs": (system.fstatvfs, BAD),
    "ftruncate": (system.ftruncate, BAD, 0),
    "getsockname": (system.Socket, -1, -1, -1, BAD),
    "ioctl": (system.set_blocking, BAD, False),
    "lstat": (system.lstat, NOWHERE),
    "memfd_create": (system.memfd_create, "name", 1 << 20),
    "openat": (system.open, NOWHERE, 0),
    "read": (system.read, BAD, 1),
    "readlink": (system.readlink, NOWHERE),
    "renameat": (system.rename, NOWHERE, NOWHERE),
    "socket": (system.Socket, NO_FAMILY, socket.SOCK_STREAM, 0),
    "socketpair": (system.socketpair, NO_FAMILY, socket.SOCK_STREAM, 0),
    "stat": (system.stat, NOWHERE),
    "unlink": (system.unlink, NOWHERE),
}

# The call, the method of a socket and its arguments.
REFUSED_BY_A_SOCKET = {
    "accept4": ("_accept",),
    "bind": ("bind", "/"),
    "connect": ("connect", "/"),
    "getsockopt": ("getsockopt", socket.SOL_SOCKET, socket.SO_TYPE),
    "ioctl": ("setblocking", False),
    "listen": ("listen", 1),
    "recvmsg": ("recvmsg", 1),
    "sendmsg": ("sendmsg", [b"x"]),
    "setsockopt": ("setsockopt", socket.SOL_SOCKET, socket.SO_PASSCRED, 0),
    "shutdown": ("shutdown", socket.SHUT_RD),
}


def named(call, function, *arguments, **options):
    with pytest.raises(OSError) as caught:
        function(*arguments, **options)
    error = caught.value
    assert error.strerror == f"{call}: {os.strerror(error.errno)}"


@pytest.mark.parametrize("call", REFUSED)
def test_an_error_has_the_name_of(call):
    named(call.split()[-1], *REFUSED[call])


@pytest.mark.parametrize("call", REFUSED_BY_A_SOCKET)
def test_an_error_of_a_socket_has_the_name_of(call):
    sock = system.Socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0)
    sock.close()
    name, *arguments = REFUSED_BY_A_SOCKET[call]
    named(call, getattr(sock, name), *arguments)


def test_a_file_of_a_folder_is_removed_by_another_call(tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    named("unlinkat", system.unlink, b"nothing", dir_fd=folder)
    os.close(folder)


def test_an_error_of_elsewhere_is_named_and_raised_itself():
    """A thread that takes descriptors tells of its error by the number only."""
    error = OSError(errno.EPERM, "denied")
    assert system.named(error, "recvmsg") is error
    assert error.strerror == "recvmsg: denied"


# As a seccomp filter makes them: the kernel has no error above 4095.
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, 4095])
def test_a_user_that_is_an_error_is_nobody(monkeypatch, number):
    # Python says -1 for the highest number of a user.
    uid = -1 if number == errno.EPERM else (1 << 32) - number
    monkeypatch.setattr(posix, "geteuid", lambda: uid)
    with pytest.raises(PermissionError, match="geteuid: denied"):
        system.geteuid()


@pytest.mark.parametrize("uid", [0, 1000, (1 << 32) - 4096])
def test_any_other_number_is_a_user(monkeypatch, uid):
    monkeypatch.setattr(posix, "geteuid", lambda: uid)
    assert system.geteuid() == uid
