# SPDX-License-Identifier: Apache-2.0
"""A Python program that has libmemif.so as slave and libmemif_py as master exchange packets.

Usage: ctypes_program.py LIBRARY API SOCKET [plain|package-first|capsule-first|leave-open]
"""

import ctypes
import select
import sys
from ctypes import CFUNCTYPE, byref, c_char, c_int, c_uint8, c_uint16, c_uint32, c_void_p

library_path, api, socket, how = sys.argv[1:]

INTERFACE_ID = 3
Event = CFUNCTYPE(c_int, c_void_p, c_void_p)


class ArgsV1(ctypes.Structure):
    """memif_conn_args_t of 1.0."""

    _fields_ = [
        ("socket_filename", ctypes.c_char_p),
        ("secret", c_char * 24),
        ("num_s2m_rings", c_uint8),
        ("num_m2s_rings", c_uint8),
        ("buffer_size", c_uint16),
        ("log2_ring_size", c_uint8),
        ("is_master", c_uint8),
        ("interface_id", c_uint32),
        ("interface_name", c_char * 32),
        ("instance_name", c_char * 32),
        ("mode", c_uint32),
    ]


class BufferV1(ctypes.Structure):
    """memif_buffer_t of 1.0."""

    _fields_ = [
        ("desc_index", c_uint16),
        ("buffer_len", c_uint32),
        ("len", c_uint32),
        ("data", c_void_p),
    ]


class SocketArgs(ctypes.Structure):
    """memif_socket_args_t; the timer is an array of its four numbers."""

    _fields_ = [
        ("path", c_char * 108),
        ("app_name", c_char * 32),
        ("connection_request_timer", ctypes.c_long * 4),
        ("on_control_fd_update", c_void_p),
        ("alloc", c_void_p),
        ("realloc", c_void_p),
        ("free", c_void_p),
    ]


class ArgsV4(ctypes.Structure):
    """memif_conn_args_t of 4.0."""

    _fields_ = [
        ("socket", c_void_p),
        ("secret", c_char * 24),
        ("num_s2m_rings", c_uint8),
        ("num_m2s_rings", c_uint8),
        ("buffer_size", c_uint16),
        ("log2_ring_size", c_uint8),
        ("is_master", c_uint8),
        ("interface_id", c_uint32),
        ("interface_name", c_char * 32),
        ("mode", c_uint32),
    ]


class BufferV4(ctypes.Structure):
    """memif_buffer_t of 4.0."""

    _fields_ = [
        ("desc_index", c_uint16),
        ("queue", c_void_p),
        ("len", c_uint32),
        ("flags", c_uint8),
        ("data", c_void_p),
    ]


def check(code: int) -> None:
    if code:
        sys.exit(f"error code {code}")


class Program:
    """One interface, which both APIs create alike."""

    Buffer: type[ctypes.Structure]

    def __init__(self, library: ctypes.CDLL):
        self.library = library
        self.conn = c_void_p()
        self.up = False
        self.events = (Event(self.on_connect), Event(self.on_disconnect), None)

    def on_connect(self, _conn: int, _private_ctx: int) -> int:
        self.up = True
        return 0

    def on_disconnect(self, _conn: int, _private_ctx: int) -> int:
        self.up = False
        return 0

    def create(self, args: ctypes.Structure) -> None:
        check(self.library.memif_create(byref(self.conn), byref(args), *self.events, None))

    def poll(self) -> None:
        raise NotImplementedError

    def give_back(self, buffer: ctypes.Structure) -> None:
        raise NotImplementedError

    def close(self) -> None:
        check(self.library.memif_delete(byref(self.conn)))

    def send(self, packet: bytes) -> None:
        buffer, count = self.Buffer(), c_uint16()
        out = (byref(buffer), 1, byref(count))
        check(self.library.memif_buffer_alloc(self.conn, 0, *out, len(packet)))
        ctypes.memmove(buffer.data, packet, len(packet))
        buffer.len = len(packet)
        check(self.library.memif_tx_burst(self.conn, 0, *out))

    def receive(self) -> bytes:
        buffer, count, efd = self.Buffer(), c_uint16(), c_int()
        check(self.library.memif_get_queue_efd(self.conn, 0, byref(efd)))
        if not select.select([efd.value], [], [], 10)[0]:
            sys.exit("no packet came")
        check(self.library.memif_rx_burst(self.conn, 0, byref(buffer), 1, byref(count)))
        packet = ctypes.string_at(buffer.data, buffer.len)
        self.give_back(buffer)
        return packet


class ProgramV1(Program):
    """With the 1.0 API."""

    Buffer = BufferV1

    def __init__(self, library: ctypes.CDLL):
        super().__init__(library)
        check(library.memif_init(None, b"ctypes_program"))

    def connect(self) -> None:
        self.create(ArgsV1(socket_filename=socket.encode(), interface_id=INTERFACE_ID))

    def poll(self) -> None:
        check(self.library.memif_poll_event(10000))

    def give_back(self, buffer: ctypes.Structure) -> None:
        check(self.library.memif_buffer_free(self.conn, 0, byref(buffer), 1, byref(c_uint16())))

    def close(self) -> None:
        super().close()
        check(self.library.memif_cleanup())


class ProgramV4(Program):
    """With the 4.0 API."""

    Buffer = BufferV4

    def __init__(self, library: ctypes.CDLL):
        super().__init__(library)
        self.socket = c_void_p()
        args = SocketArgs(path=socket.encode(), app_name=b"ctypes_program")
        check(library.memif_create_socket(byref(self.socket), byref(args), None))

    def connect(self) -> None:
        self.create(ArgsV4(socket=self.socket, interface_id=INTERFACE_ID))

    def on_connect(self, conn: int, private_ctx: int) -> int:
        super().on_connect(conn, private_ctx)
        return self.library.memif_refill_queue(c_void_p(conn), 0, 65535, 0)

    def poll(self) -> None:
        check(self.library.memif_poll_event(self.socket, 10000))

    def give_back(self, _buffer: ctypes.Structure) -> None:
        check(self.library.memif_refill_queue(self.conn, 0, 1, 0))

    def close(self) -> None:
        super().close()
        check(self.library.memif_delete_socket(byref(self.socket)))


def expect(packet: bytes, expected: bytes) -> None:
    if packet != expected:
        sys.exit(f"received {packet!r} instead of {expected!r}")


if how == "capsule-first":
    import datetime

    # Any attribute look-up leaves a version tag on the type of capsules.
    datetime.datetime_CAPI.__class__  # noqa: B018
if how == "package-first":
    from libmemif_py import Interface
program = {"v1": ProgramV1, "v4": ProgramV4}[api](ctypes.CDLL(library_path))
from libmemif_py import Interface  # noqa: E402 - after the library, unless package-first

master = Interface(socket, role="master", id=INTERFACE_ID)
program.connect()
while not program.up:
    program.poll()
master.wait_connected(10)

program.send(b"from C")
expect(master.recv(10), b"from C")
master.send(b"from Python", 10)
expect(program.receive(), b"from Python")

if how != "leave-open":
    program.close()
    master.close()
