# SPDX-License-Identifier: Apache-2.0
"""A user whom nobody trusts, a program: sends descriptors that hold up whoever closes them.

    untrusted.py UID FOLDER FOLDER_FD SOCKET_NAME

FOLDER is empty and its own; FOLDER_FD is open, of the folder of the socket, for whose parents it
has no permission. Orders on stdin, see UntrustedUser.obey; answers on stdout. Everything is
imported while we can still read it.
"""

import contextlib
import errno
import os
import select
import socket
import struct
import sys

import cffi

from libmemif_py import Interface
from libmemif_py.control import wire
from support.fuse import FileSystem, enter_namespaces

KINDS = (
    *("fuse", "fuse-eio", "inotify", "epoll", "pidfd", "memfd", "folder", "eventfd", "pipe"),
    "io_uring",
)
IO_URING_SETUP = 425
MOST = 253
HUGE = 1 << 20
_ffi = cffi.FFI()
_ffi.cdef("int inotify_init1(int flags); long syscall(long number, ...);")
_c = _ffi.dlopen(None)


def lingering() -> list[int]:
    """A socket whose last close waits for an hour: the other end takes nothing. And that end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sending = socket.create_connection(listening.getsockname())
        taking, _ = listening.accept()
    sending.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sending.send(bytes(HUGE))
    sending.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return [sending.detach(), taking.detach()]


def io_uring() -> int:
    """Or a pipe where it is switched off, and from Linux 6.7 on, where it does not travel."""
    parameters = _ffi.new("char[120]")
    fd = _c.syscall(IO_URING_SETUP, _ffi.cast("long", 8), parameters)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right, contextlib.suppress(OSError):
        socket.send_fds(left, [b"x"], [fd])
        return fd
    return os.pipe()[1]


def epoll_cycle() -> int:
    """Two that watch each other's neighbour, and a socket in whose queue they lie."""
    one, other = select.epoll(), select.epoll()
    one.register(other, select.EPOLLIN)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(left, [b"x"], [one.fileno(), right.fileno()])
    left.close()
    one.close()
    other.close()
    return right.detach()


class UntrustedUser:
    def __init__(self, folder: str, folder_fd: int, name: str):
        self._folder, self._where = folder, f"/proc/self/fd/{folder_fd}/{name}"
        self._systems: dict[str, FileSystem] = {}
        self._kept: list[int] = []
        self._made: dict[str, int] = {}

    # ---- descriptors ----

    def fd(self, kind: str) -> int:
        """One of a kind; the same each time where that is as good, and ours to close where not."""
        if kind == "lingering":
            sending, taking = lingering()
            self._kept.append(taking)
            return sending
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def _make(self, kind: str) -> int:
        if kind.startswith("fuse"):
            return os.open(self._system(kind).file, os.O_RDONLY)
        makers = {
            "inotify": lambda: _c.inotify_init1(0),
            "epoll": epoll_cycle,
            "pidfd": lambda: os.pidfd_open(os.getpid()),
            "memfd": lambda: os.memfd_create("untrusted"),
            "folder": lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY),
            "eventfd": lambda: os.eventfd(0),
            "pipe": lambda: os.pipe()[1],
            "io_uring": io_uring,
        }
        return makers[kind]()

    def _system(self, kind: str) -> FileSystem:
        if kind not in self._systems:
            folder = f"{self._folder}/{kind}"
            os.mkdir(folder)
            answer = errno.EIO if kind == "fuse-eio" else None
            self._systems[kind] = FileSystem(folder, answer)
        return self._systems[kind]

    # ---- messages ----

    def connect(self) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.settimeout(60)
        channel.connect(self._where)
        channel.recv(wire.MESSAGE_SIZE)  # HELLO
        return channel

    def begin(self, state: str) -> socket.socket:
        """A connection, of a peer that has named its interface or not."""
        channel = self.connect()
        if state == "named":
            init = wire.Init(wire.VERSION_2, 0, wire.MODE_ETHERNET, b"", b"untrusted")
            channel.send(wire.encode(init, wire.VERSION_2))
            channel.recv(wire.MESSAGE_SIZE)
        return channel

    def fire(self, channel: socket.socket, kind: str, fds: int) -> None:
        """One message with descriptors. Of sockets that linger it has the only ones."""
        sent = [self.fd(kind) for _ in range(fds)]
        socket.send_fds(channel, [wire.encode(wire.AddRegion(0, 4096), wire.VERSION_2)], sent)
        if kind == "lingering":
            for fd in sent:
                os.close(fd)

    def attack(self, state: str, kind: str, fds: int) -> str:
        """One connection, one message; how it ended."""
        with self.begin(state) as channel:
            self.fire(channel, kind, fds)
            return self._ending(channel)

    def exchange(self, count: int) -> str:
        """As an honest guest."""
        with Interface(self._where, ring_size=16) as guest:
            for number in range(count):
                packet = b"guest %d" % number
                guest.send(packet, 60)
                if guest.recv(60) != packet:
                    return "another packet came"
        return "exchanged"

    def _ending(self, channel: socket.socket) -> str:
        try:
            data = channel.recv(wire.MESSAGE_SIZE)
        except ConnectionResetError:
            return "reset"
        return wire.decode(data, wire.VERSION_2).label if data else "closed"

    def flood(self, state: str, count: int) -> str:
        """Of all kinds in turn, one descriptor or many."""
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            self.attack(state, kind, MOST if number % 17 == 0 else 1)
        return "done"

    def obey(self, order: str, *words: str) -> str:
        if order == "begin":
            self._begun = self.begin(words[0])
            return "begun"
        if order == "fire":
            with self._begun:
                for _ in range(int(words[3]) if words[2:] else 0):
                    self._begun.send(b"")
                self.fire(self._begun, words[0], int(words[1]))
            return "fired"
        if order == "exchange":
            return self.exchange(int(words[0]))
        if order == "attack":
            return self.attack(words[0], words[1], int(words[2]))
        return self.flood(words[0], int(words[1]))

    def end(self) -> None:
        """What waits for a file of ours goes on."""
        for system in self._systems.values():
            system.end()


def main(uid: str, folder: str, folder_fd: str, name: str) -> None:
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    enter_namespaces()
    untrusted = UntrustedUser(folder, int(folder_fd), name)
    print("ready", flush=True)
    try:
        for line in sys.stdin:
            print(untrusted.obey(*line.split()), flush=True)
    finally:
        untrusted.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
