# SPDX-License-Identifier: Apache-2.0
"""A peer under another user, a program: becomes that user, then is a slave by hand or a master.

    other_user.py UID slave SOCKET [MEMORY]  prints "connected", the master's reason, or an errno
    other_user.py UID master SOCKET          prints "listening"; ends with its input

Everything is imported while we can still read it: the tests' folders belong to their user alone.
"""

import errno
import fcntl
import mmap
import os
import socket
import struct
import sys
import tempfile

from libmemif_py import Interface
from libmemif_py.control import wire

TIMEOUT = 60
SIZE = 1 << 14
RING_OFFSETS = {True: 0, False: 0x1000}


def become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def memory(kind: str) -> int:
    """A descriptor of `SIZE` bytes: sealed, or not yet, or such that it never can be."""
    if kind == "file":
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    else:
        flags = 0 if kind == "unsealable" else os.MFD_ALLOW_SEALING
        fd = os.memfd_create("region", os.MFD_CLOEXEC | flags)
    os.ftruncate(fd, SIZE)
    if kind == "sealed":
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    with mmap.mmap(fd, SIZE) as region:
        for offset in RING_OFFSETS.values():
            struct.pack_into("<I", region, offset, wire.COOKIE_2)
    return fd


def messages(kind: str) -> list[tuple[wire.Message, list[int]]]:
    """What a slave says, with the descriptors that travel along."""
    rings = [
        (wire.AddRing(s2m, 0, 0, offset, 1, 0), [os.eventfd(0)])
        for s2m, offset in RING_OFFSETS.items()
    ]
    init = wire.Init(wire.VERSION_2, 0, wire.MODE_ETHERNET, b"", b"by hand")
    region = (wire.AddRegion(0, SIZE), [memory(kind)])
    return [(init, []), region, *rings, (wire.Connect(b""), [])]


def be_slave(path: str, kind: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(TIMEOUT)
        try:
            channel.connect(path)
        except OSError as error:
            return errno.errorcode[error.errno]
        channel.recv(wire.MESSAGE_SIZE)  # HELLO
        for message, fds in messages(kind):
            socket.send_fds(channel, [wire.encode(message, wire.VERSION_2)], fds)
            answer = wire.decode(channel.recv(wire.MESSAGE_SIZE), wire.VERSION_2)
            if isinstance(answer, wire.Disconnect):
                return answer.reason.decode()
        print("connected", flush=True)
        sys.stdin.read()
        return "over"


def be_master(path: str) -> str:
    with Interface(path, role="master", socket_mode=0o666):
        print("listening", flush=True)
        sys.stdin.read()
    return "over"


def main(uid: str, role: str, path: str, kind: str = "sealed") -> None:
    become(int(uid))
    print(be_slave(path, kind) if role == "slave" else be_master(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
