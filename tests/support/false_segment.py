# SPDX-License-Identifier: Apache-2.0
"""A process that offers a segment that no honest program has: false_segment.py ATTACK.

Prints "ready" and goes on until its input ends.
"""

import fcntl
import os
import struct
import sys
import threading

from libmemif_py import segment

SIZE = 1 << 20
RECORDS, PAGES, RINGS, BLOCKS = 0x1000, 0x40000, 0x80000, 0xC0000
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def pack(fd: int, at: int, table: dict, /, **fields) -> None:
    for name, value in fields.items():
        offset, form = table[name]
        os.pwrite(fd, struct.pack(f"<{form}", value), at + offset)


def memory(size: int = SIZE, seals: int = SEALS) -> int:
    fd = os.memfd_create(segment.NAME, os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def good(**options) -> int:
    """What an honest program has, with one interface."""
    fd = memory(**options)
    pack(
        fd, 0, segment.HEADER, magic=segment.MAGIC, layout=1, pid=os.getpid(), size=SIZE, used=1,
        record_size=1024, records=RECORDS, pages=PAGES, rings=RINGS, blocks=BLOCKS,
        pages_per_id=64, pairs_per_page=8, api=b"1.0",
    )  # fmt: skip
    pack(
        fd, RECORDS, segment.RECORD, in_use=1, serial=1, link=2, protocol=512, rx_queues=1,
        tx_queues=1, path=b"/false",
    )  # fmt: skip
    os.pwrite(fd, struct.pack("<I", 1), PAGES)
    return fd


def honest() -> None:
    good()


def empty() -> None:
    os.memfd_create(segment.NAME)


def short() -> None:
    os.ftruncate(good(seals=0), 200)


def short_and_sealed() -> None:
    fd = good(seals=0)
    os.ftruncate(fd, 200)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)


def unsealed() -> None:
    good(seals=0)


def shrinking() -> None:
    """It is sealed only for a moment of the checks; here not at all, and changes its size."""
    fd = good(seals=0)

    def change() -> None:
        while True:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, SIZE)

    threading.Thread(target=change, daemon=True).start()


def magic() -> None:
    pack(good(), 0, segment.HEADER, magic=b"notmemif")


def later() -> None:
    pack(good(), 0, segment.HEADER, layout=2)


def header() -> None:
    """Each field in a segment of its own."""
    most = {"Q": 2**64 - 1, "I": 2**32 - 1}
    for name in ("size", "used", "record_size", "records", "pages", "rings", "blocks"):
        pack(good(), 0, segment.HEADER, **{name: most[segment.HEADER[name][1]]})


def no_pairs() -> None:
    pack(good(), 0, segment.HEADER, pairs_per_page=0)


def queues() -> None:
    pack(good(), RECORDS, segment.RECORD, rx_queues=0xFFFF)


def page() -> None:
    os.pwrite(good(), struct.pack("<I", 0xFFFFFFFF), PAGES)


def odd() -> None:
    pack(good(), RECORDS, segment.RECORD, sequence=1)


def restless() -> None:
    fd = good()

    def change() -> None:
        number = 0
        while True:
            number += 2
            pack(fd, RECORDS, segment.RECORD, sequence=number & 0xFFFFFFFF)

    threading.Thread(target=change, daemon=True).start()


def words() -> None:
    pack(
        good(), RECORDS, segment.RECORD, name=b"\x1b[2J\x1b]0;x\x07", path=b"\xff\xfe\n\r" * 96,
        last_error=b"\xe2\x80\xae" * 85, peer_name=b"%s{}<b>[red]&",
    )  # fmt: skip


def numbers() -> None:
    """Counters, times and peers that cannot be."""
    fd = good()
    pack(
        fd, RECORDS, segment.RECORD, since=2**64 - 1, links=2**32 - 1, peer_pid=-(2**31),
        id=2**32 - 1, mode=255, link=255, protocol=0xFFFF,
    )  # fmt: skip
    for at in range(BLOCKS, BLOCKS + 512, 256):
        pack(
            fd,
            at,
            segment.BLOCK,
            **{
                name: 2 ** (8 * struct.calcsize(form)) - 1
                for name, (_, form) in segment.BLOCK.items()
            },
        )


def pid() -> None:
    """As a child that has inherited it."""
    pack(good(), 0, segment.HEADER, pid=1)


def many() -> None:
    """More interfaces and queues than there can be."""
    fd = good()
    pack(fd, 0, segment.HEADER, used=4096)
    for cell in range((SIZE - RECORDS) // 1024):
        pack(fd, RECORDS + 1024 * cell, segment.RECORD, in_use=1, rx_queues=256, tx_queues=256)


def descriptors() -> None:
    first = good()
    for _ in range(500):
        os.dup(first)
    for _ in range(100):
        good()


def rings() -> None:
    """Rings in what is no memory, or not enough of it."""
    reading, writing = os.pipe()
    tiny = os.memfd_create("tiny")
    for fd in (reading, writing, tiny, 0, 1, 10**6, -1, os.open("/proc", os.O_RDONLY)):
        segment_fd = good()
        for at in range(RINGS, RINGS + 32, 16):
            pack(segment_fd, at, segment.RING, fd=fd, offset=0xFFFFFFFF)


def named_file(folder: str) -> None:
    """A file, and a FIFO without a writer, whose links look like those of a segment."""
    path = os.path.join(folder, "memfd:libmemif-stats")
    os.mkfifo(path)
    os.open(path, os.O_RDWR)


if __name__ == "__main__":
    os.dup2(os.open("/dev/null", os.O_RDONLY), 1000)
    globals()[sys.argv[1]](*sys.argv[2:])
    print("ready", flush=True)
    sys.stdin.read()
