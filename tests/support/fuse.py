# SPDX-License-Identifier: Apache-2.0
"""A file system of one file, served by a process that answers FLUSH as told: never, or with EIO.

Needs no privilege where the kernel lets everybody make user namespaces: `enter_namespaces` first.
"""

import errno
import os
import signal
import struct

import cffi

LOOKUP, GETATTR, OPEN, RELEASE, FLUSH, INIT = 1, 3, 14, 18, 25, 26
FILE, DIRECTORY = 0o100644, 0o040755
ROOT, NODE = 1, 2
REQUEST = struct.Struct("<IIQQIIIHH")
NAME = b"file"
# Version 7.31, requests of at most 64 KiB.
INIT_REPLY = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 16, 12, 65536, 1, 16, 0, 0)

_ffi = cffi.FFI()
_ffi.cdef("""
int unshare(int flags);
int prctl(int option, unsigned long value, ...);
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const char *data);
""")
_c = _ffi.dlopen(None)
CLONE_NEWNS, CLONE_NEWUSER, PR_SET_DUMPABLE = 0x20000, 0x10000000, 4


def _check(result: int) -> None:
    if result != 0:
        raise OSError(_ffi.errno, os.strerror(_ffi.errno))


def enter_namespaces() -> None:
    """Of users and of mounts. Our user keeps its number outside."""
    uid, gid = os.getuid(), os.getgid()
    _check(_c.prctl(PR_SET_DUMPABLE, _ffi.cast("unsigned long", 1)))  # our /proc/self is ours
    _check(_c.unshare(CLONE_NEWUSER | CLONE_NEWNS))
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _attributes(node: int) -> bytes:
    mode, links = (DIRECTORY, 2) if node == ROOT else (FILE, 1)
    fields = (node, 0, 0), (0,) * 3, (0,) * 3, (mode, links), (0,) * 3, (4096, 0)
    return struct.pack("<QQQ3Q3III3III", *(value for part in fields for value in part))


class FileSystem:
    """`answers_flush`: an errno, or None for no answer at all."""

    def __init__(self, folder: str, answers_flush: int | None):
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self._flush = answers_flush
        options = f"fd={self._device},rootmode={DIRECTORY:o},user_id=0,group_id=0"
        _check(_c.mount(b"fuse", folder.encode(), b"fuse", 0, options.encode()))
        self.file = f"{folder}/{NAME.decode()}"
        self.pid = os.fork()
        if self.pid == 0:
            self._serve()
        os.close(self._device)

    def end(self) -> None:
        """With its server every waiting request ends."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def _serve(self) -> None:
        try:
            while True:
                self._answer(os.read(self._device, 1 << 20))
        finally:
            os._exit(1)

    def _answer(self, request: bytes) -> None:
        _, operation, unique, node, *_ = REQUEST.unpack_from(request)
        answers = {
            INIT: lambda: INIT_REPLY,
            LOOKUP: lambda: struct.pack("<QQQQII", NODE, 0, 1, 1, 0, 0) + _attributes(NODE),
            GETATTR: lambda: struct.pack("<QII", 1, 0, 0) + _attributes(node),
            OPEN: lambda: struct.pack("<QII", 1, 0, 0),
            RELEASE: lambda: b"",
        }
        if operation == FLUSH:
            if self._flush is not None:
                self._say(unique, -self._flush)
        elif operation in answers:
            self._say(unique, 0, answers[operation]())
        else:
            self._say(unique, -errno.ENOSYS)

    def _say(self, unique: int, error: int, data: bytes = b"") -> None:
        os.write(self._device, struct.pack("<IiQ", 16 + len(data), error, unique) + data)
