# SPDX-License-Identifier: Apache-2.0
"""A slave made of a socket, a memfd and bytes: it keeps no rule of the protocol by itself."""

import fcntl
import mmap
import os
import socket
import struct

from libmemif_py.control import wire

SLOTS_LOG2 = 3
SLOTS = 1 << SLOTS_LOG2
BUFFER = 256
RING = 128 + 16 * SLOTS
BUFFERS = 4096
SIZE = 2 * BUFFERS + 2 * SLOTS * BUFFER
S2M, M2S = 0, RING


class RawSlave:
    """Speaks version 512 with one ring each way; `efds` are those of S2M and of M2S."""

    def __init__(self, path, interface_id=0, efds=None, size=SIZE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(40)
        self.memfd = os.memfd_create("raw slave", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.size = size
        os.ftruncate(self.memfd, size)
        fcntl.fcntl(self.memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self.memory = mmap.mmap(self.memfd, size)
        self.efds = efds or [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(2)]
        self.path, self.id = path, interface_id

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.socket.close()
        self.memory.close()
        for fd in [self.memfd, *self.efds]:
            os.close(fd)

    def say(self, message, fd=None):
        data = wire.encode(message, wire.VERSION_2)
        extra = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
        self.socket.sendmsg([data], extra)

    def hear(self):
        data = self.socket.recv(wire.MESSAGE_SIZE)
        return wire.decode(data, wire.VERSION_2) if data else None

    def ask(self, message, fd=None):
        self.say(message, fd)
        return self.hear()

    def connect(self):
        """The answer to the last message: Connected, or why not."""
        self.socket.connect(os.fspath(self.path))
        self.hear()
        self.lay_out()
        asked = [
            (wire.Init(wire.VERSION_2, self.id, 0, b"", b"raw"), None),
            (wire.AddRegion(0, self.size), self.memfd),
            (wire.AddRing(True, 0, 0, S2M, SLOTS_LOG2, 0), self.efds[0]),
            (wire.AddRing(False, 0, 0, M2S, SLOTS_LOG2, 0), self.efds[1]),
            (wire.Connect(b"raw"), None),
        ]
        for message, fd in asked:
            answer = self.ask(message, fd)
            if not isinstance(answer, wire.Ack):
                return answer
        raise AssertionError("CONNECT was answered with ACK")

    def lay_out(self):
        for ring in (S2M, M2S):
            self.memory[ring : ring + 128] = bytes(128)
            self.write(ring, "I", wire.COOKIE_2)
        for slot in range(SLOTS):
            self.write_descriptor(S2M, slot)
            self.write_descriptor(M2S, slot)
        self.write(M2S + 6, "H", SLOTS)

    def write(self, at, form, value):
        struct.pack_into("<" + form, self.memory, at, value)

    def write_descriptor(self, ring, slot, *, flags=0, region=0, length=BUFFER, offset=None):
        own = 2 * BUFFERS + ((ring == M2S) * SLOTS + slot) * BUFFER
        fields = flags, region, length, own if offset is None else offset, 0
        struct.pack_into("<HHIII", self.memory, ring + 128 + 16 * slot, *fields)

    def send(self, count, **descriptor):
        """`count` packets; the last one is as said."""
        self._publish([*[{}] * (count - 1), descriptor])

    def send_chain(self, count):
        """One packet of `count` slots."""
        self._publish([*[{"flags": 1}] * (count - 1), {}])

    def _publish(self, slots):
        (head,) = struct.unpack_from("<H", self.memory, S2M + 6)
        for i, changes in enumerate(slots):
            self.write_descriptor(S2M, (head + i) % SLOTS, **changes)
        count = len(slots)
        self.write(S2M + 6, "H", (head + count) & 0xFFFF)
        os.eventfd_write(self.efds[0], 1)
