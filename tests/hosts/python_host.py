# SPDX-License-Identifier: Apache-2.0
"""A Python program that has libmemif.so as slave and libmemif_py as master exchange packets.

Usage: python_host.py LIBRARY SOCKET [plain|package-first|capsule-first|leave-open]
"""

import ctypes
import select
import sys

library_path, socket, how = sys.argv[1:]


class Args(ctypes.Structure):
    """memif_conn_args_t."""

    _fields_ = [
        ("socket_filename", ctypes.c_char_p),
        ("secret", ctypes.c_char * 24),
        ("num_s2m_rings", ctypes.c_uint8),
        ("num_m2s_rings", ctypes.c_uint8),
        ("buffer_size", ctypes.c_uint16),
        ("log2_ring_size", ctypes.c_uint8),
        ("is_master", ctypes.c_uint8),
        ("interface_id", ctypes.c_uint32),
        ("interface_name", ctypes.c_char * 32),
        ("instance_name", ctypes.c_char * 32),
        ("mode", ctypes.c_uint32),
    ]


class Buffer(ctypes.Structure):
    """memif_buffer_t."""

    _fields_ = [
        ("desc_index", ctypes.c_uint16),
        ("buffer_len", ctypes.c_uint32),
        ("data_len", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
    ]


def check(code: int) -> None:
    if code:
        sys.exit(f"error code {code}")


def send(packet: bytes) -> None:
    buffer, count = Buffer(), ctypes.c_uint16()
    out = (ctypes.byref(buffer), 1, ctypes.byref(count))
    check(library.memif_buffer_alloc(conn, 0, *out, len(packet)))
    ctypes.memmove(buffer.data, packet, len(packet))
    buffer.data_len = len(packet)
    check(library.memif_tx_burst(conn, 0, *out))


def receive() -> bytes:
    buffer, count, efd = Buffer(), ctypes.c_uint16(), ctypes.c_int()
    out = (ctypes.byref(buffer), 1, ctypes.byref(count))
    check(library.memif_get_queue_efd(conn, 0, ctypes.byref(efd)))
    if not select.select([efd.value], [], [], 10)[0]:
        sys.exit("no packet came")
    check(library.memif_rx_burst(conn, 0, *out))
    packet = ctypes.string_at(buffer.data, buffer.data_len)
    check(library.memif_buffer_free(conn, 0, *out))
    return packet


def expect(packet: bytes, expected: bytes) -> None:
    if packet != expected:
        sys.exit(f"received {packet!r} instead of {expected!r}")


if how == "capsule-first":
    import datetime

    # Any attribute look-up leaves a version tag on the type of capsules.
    datetime.datetime_CAPI.__class__  # noqa: B018
if how == "package-first":
    from libmemif_py import Interface
library = ctypes.CDLL(library_path)
check(library.memif_init(None, b"python_host"))
from libmemif_py import Interface  # noqa: E402 - after the library, unless package-first

up = []
Event = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
on_connect = Event(lambda conn, _: up.append(conn) or 0)
on_disconnect = Event(lambda _conn, _ctx: 0)
master = Interface(socket, role="master", id=3)
conn = ctypes.c_void_p()
args = Args(socket_filename=socket.encode(), interface_id=3)
functions = (on_connect, on_disconnect, None)
check(library.memif_create(ctypes.byref(conn), ctypes.byref(args), *functions, None))
while not up:
    check(library.memif_poll_event(10000))
master.wait_connected(10)

send(b"from C")
expect(master.recv(10), b"from C")
master.send(b"from Python", 10)
expect(receive(), b"from Python")

if how != "leave-open":
    check(library.memif_delete(ctypes.byref(conn)))
    check(library.memif_cleanup())
    master.close()
