# SPDX-License-Identifier: Apache-2.0
"""Traffic for end-to-end tests, a program: c_tests/peers/traffic_v1.c in Python.

Packets are the same there, byte for byte, and options, but for -f. LIBMEMIF_PROTOCOL restricts the
version of the protocol as it does for C programs.
"""

import argparse
import json
import os
import select
import struct
import sys
from dataclasses import dataclass

from libmemif_py import Interface, MemifError

HEADER = struct.Struct("<IIHBB")
SMALLEST, LARGEST_ETHERNET, JUMBO, LARGEST = 60, 1514, 9000, 65535
JUMBO_EVERY, HUGE_EVERY = 8, 64
PATTERN_STARTS = 4096
BURST = 64
PAUSE_MS = 10


class FaultError(Exception):
    """A packet that is not the one expected."""


def make_pattern() -> bytes:
    state = 1
    pattern = bytearray()
    for _ in range(PATTERN_STARTS + LARGEST):
        state = (state * 1664525 + 1013904223) % 2**32
        pattern.append(state >> 24)
    return bytes(pattern)


PATTERN = make_pattern()


def size_of(sizes: str, number: int) -> int:
    if sizes.isdigit():
        return int(sizes)
    if sizes == "huge" and number % HUGE_EVERY == 5:
        return LARGEST
    if sizes in ("huge", "jumbo") and number % JUMBO_EVERY == 3:
        return JUMBO
    return SMALLEST + (number * 2654435761 % 2**32 >> 16) % (LARGEST_ETHERNET - SMALLEST + 1)


def make_packet(number: int, run: int, size: int, queue: int, role: int) -> bytes:
    start = (number * 7 + queue * 1021) % 2**32 % PATTERN_STARTS
    header = HEADER.pack(number, run, size, queue, role)
    return header + PATTERN[start : start + size - HEADER.size]


def first_difference(a: bytes, b: bytes) -> int:
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


@dataclass
class Queue:
    packets: int = 0
    bytes: int = 0
    run: int | None = None
    next: int = 0

    def count(self, packets: list[bytes]) -> None:
        self.packets += len(packets)
        self.bytes += sum(map(len, packets))


class Traffic:
    def __init__(self, options: argparse.Namespace):
        s2m, m2s = options.rings
        rx, tx = (s2m, m2s) if options.role == "master" else (m2s, s2m)
        self.options = options
        self.rx = [Queue() for _ in range(rx)]
        self.tx = [Queue() for _ in range(tx)]
        self.held: list[list[bytes]] = [[] for _ in range(rx)]
        self.own_role = 0 if options.role == "master" else 1
        self.run_id = os.getpid() % 2**32
        self.connections = 0
        self.fault = ""
        self.reported = False

    def connected(self, _interface: Interface) -> None:
        self.connections += 1

    # ---- bursts ----

    def receive(self, qid: int) -> int:
        try:
            packets = self.interface.recv_burst(BURST, 0, queue=qid)
        except MemifError:
            return 0  # nothing waits, or the link is down
        queue = self.rx[qid]
        if not self.options.echo:
            for packet in packets:
                self.check(queue, qid, packet)
        queue.count(packets)
        expected = self.options.expect
        if not (self.options.continuous or self.options.echo) and queue.packets > expected:
            raise FaultError(f"rx queue {qid}: {queue.packets} packets, expected {expected}")
        if self.options.echo:
            self.held[qid] = packets
        return len(packets)

    def check(self, queue: Queue, qid: int, packet: bytes) -> None:
        where = f"rx queue {qid}: packet"
        if len(packet) < HEADER.size:
            raise FaultError(f"{where} of {len(packet)} bytes")
        number, run, *_ = HEADER.unpack_from(packet)
        if queue.run is None or (self.options.continuous and run != queue.run):
            queue.run = run
            queue.next = number if self.options.continuous else 0
        if number != queue.next:
            raise FaultError(f"{where} {number} instead of {queue.next}")
        role = self.own_role if self.options.expects_echo else 1 - self.own_role
        size = size_of(self.options.sizes, number)
        wanted = make_packet(number, queue.run, size, qid, role)
        if packet != wanted:
            at = first_difference(packet, wanted)
            raise FaultError(f"{where} {number} of {len(packet)} bytes: wrong byte {at} of {size}")
        queue.next = (number + 1) % 2**32

    def send(self, qid: int) -> int:
        queue = self.tx[qid]
        left = BURST if self.options.continuous else self.options.send - queue.packets
        if self.options.expects_echo:
            left = min(left, self.options.window - (queue.packets - self.rx[qid].packets))
        numbers = range(queue.packets, queue.packets + max(0, min(BURST, left)))
        packets = [
            make_packet(n, self.run_id, size_of(self.options.sizes, n), qid, self.own_role)
            for n in numbers
        ]
        return self.send_some(qid, packets)

    def send_some(self, qid: int, packets: list[bytes]) -> int:
        """Send as many as there is room for and take them off the list."""
        if not packets:
            return 0
        try:
            sent = self.interface.send_burst(packets, 0, queue=qid)
        except MemifError:
            return 0
        self.tx[qid].count(packets[:sent])
        del packets[:sent]
        return sent

    # ---- the loop ----

    def run(self, interface: Interface) -> None:
        """Until stdin ends."""
        self.interface = interface
        end_of_input = select.poll()
        end_of_input.register(sys.stdin)
        events = select.poll()
        events.register(sys.stdin)
        for qid in range(len(self.rx)):
            events.register(interface.fileno(qid), select.POLLIN)
            interface.set_rx_mode(self.options.mode, queue=qid)
        try:
            while not end_of_input.poll(0):
                moved = self.serve()
                if not self.reported and self.is_complete():
                    self.report()
                if not moved:
                    self.wait(events, end_of_input)
            if not self.reported and not self.options.echo:
                raise FaultError("stopped before all was sent and received")
        except FaultError as error:
            self.fault = str(error)
            print(f"traffic: {error}", file=sys.stderr)
        if not self.reported:
            self.report()

    def serve(self) -> bool:
        """One turn over all queues; False when nothing moved."""
        moved = 0
        for qid in range(len(self.rx)):
            if not self.held[qid]:
                moved += self.receive(qid)
            moved += self.send_some(qid % len(self.tx), self.held[qid])
        if not self.options.echo:
            moved += sum(self.send(qid) for qid in range(len(self.tx)))
        return moved > 0

    def wait(self, events: select.poll, end_of_input: select.poll) -> None:
        """Wait for packets or the link; room, and packets on a polled queue, have no event."""
        if self.interface.connected and self.has_to_send():
            os.sched_yield()
        elif self.options.mode == "polling":
            end_of_input.poll(PAUSE_MS if self.reported else 0)
            os.sched_yield()
        else:
            events.poll()

    def has_to_send(self) -> bool:
        if self.options.echo:
            return any(self.held)
        unsent = any(queue.packets < self.options.send for queue in self.tx)
        return unsent or self.options.continuous

    def is_complete(self) -> bool:
        return not self.options.echo and (
            all(queue.packets >= self.options.send for queue in self.tx)
            and all(queue.packets >= self.options.expect for queue in self.rx)
        )

    def report(self) -> None:
        fields = {
            "connections": self.connections,
            "version": self.interface.details().version,
            "sent": [queue.packets for queue in self.tx],
            "received": [queue.packets for queue in self.rx],
            "bytes_sent": sum(queue.bytes for queue in self.tx),
            "bytes_received": sum(queue.bytes for queue in self.rx),
            "faults": int(bool(self.fault)),
            "fault": self.fault,
        }
        print(json.dumps(fields), flush=True)
        self.reported = True


def two_numbers(text: str) -> tuple[int, int]:
    s2m, m2s = text.split(",")
    return int(s2m), int(m2s)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", dest="socket", required=True)
    parser.add_argument("-r", dest="role", choices=("master", "slave"), default="slave")
    parser.add_argument("-i", dest="id", type=int, default=0)
    parser.add_argument("-q", dest="rings", type=two_numbers, default=(1, 1))
    parser.add_argument("-b", dest="buffer_size", type=int, default=2048)
    parser.add_argument("-l", dest="log2_ring_size", type=int, default=10)
    parser.add_argument("-p", dest="mode", choices=("polling", "interrupt"), default="interrupt")
    parser.add_argument("-n", dest="send", type=int, default=0)
    parser.add_argument("-N", dest="expect", type=int, default=0)
    parser.add_argument("-S", dest="sizes", default="mixed")
    parser.add_argument("-k", dest="secret")
    parser.add_argument("-c", dest="continuous", action="store_true")
    parser.add_argument("-e", dest="echo", action="store_true")
    parser.add_argument("-x", dest="expects_echo", action="store_true")
    parser.add_argument("-w", dest="window", type=int, default=128)
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    traffic = Traffic(options)
    with Interface(
        options.socket,
        role=options.role,
        id=options.id,
        app_name="traffic",
        secret=options.secret,
        s2m_rings=options.rings[0],
        m2s_rings=options.rings[1],
        ring_size=1 << options.log2_ring_size,
        buffer_size=options.buffer_size,
        version=int(os.environ.get("LIBMEMIF_PROTOCOL", "0")) or None,
        on_connect=traffic.connected,
    ) as interface:
        print("ready", flush=True)
        traffic.run(interface)
    return 1 if traffic.fault else 0


if __name__ == "__main__":
    sys.exit(main())
