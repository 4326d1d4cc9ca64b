# SPDX-License-Identifier: Apache-2.0
"""Many threads on the same queues, bursts and lists: what the locks of the compiled half are for.

With the interpreter lock little can go wrong here. A free-threaded Python without the locks loses
packets or crashes, and ThreadSanitizer says where:

    cd tests && python -m support.stress [ROUNDS]
"""

import contextlib
import sys
import threading
from collections.abc import Callable

from libmemif_py import Interface, MemifError, RxBurst, Timeout, TxBurst
from libmemif_py.control.reactor import burst

from .pairs import RING, TIMEOUT, capacity, in_thread, pair, reconnect

THREADS = 4
TRIES = 30  # times that a thread views a burst, or tries to end it
GROUP = 8  # packets that a thread sends in one way
WIDTH = 128
LARGE = 32768  # bytes, so that a copy takes a while
GLANCE = 0.05  # seconds; after so many without a packet a receiver looks whether all have come
GLANCES = int(TIMEOUT / GLANCE)


def together(*work: Callable[[], object]) -> list:
    """What threads return that begin at the same moment; raises what one of them raised."""
    start = threading.Barrier(len(work))

    def begin(one: Callable[[], object]) -> object:
        start.wait(TIMEOUT)
        return one()

    threads = [in_thread(lambda one=one: begin(one)) for one in work]
    results = []
    for thread, outcome in threads:
        thread.join(10 * TIMEOUT)
        assert not thread.is_alive(), "a thread hangs"
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        results += outcome
    return results


def numbered(number: int) -> bytes:
    """A packet that shows whether a part of it is another's."""
    return number.to_bytes(4, "big") * (1 + number % (WIDTH // 4))


def number_of(packet: bytes) -> int:
    """The number of a packet, which must be whole."""
    number = int.from_bytes(packet[:4], "big")
    assert packet == numbered(number), f"packet {number} holds bytes of another"
    return number


# ---- the same queues ----


def _send(sender: Interface, packets: list[bytes], way: int) -> None:
    sent = 0
    while sent < len(packets):
        left = packets[sent:]
        if way == 0:
            sender.send(left[0], TIMEOUT)
            sent += 1
        elif way == 1:
            mixed = [bytearray(p) if at % 2 else p for at, p in enumerate(left)]
            sent += sender.send_burst(mixed, TIMEOUT)
        else:
            with sender.tx_burst(len(left), WIDTH, TIMEOUT) as slots:
                for at in range(len(slots)):
                    slots[at][: len(left[at])] = left[at]
                    slots.row_lengths[at] = len(left[at])
            sent += len(slots)


def _receive(receiver: Interface, way: int) -> list[int]:
    if way == 0:
        return [number_of(receiver.recv(GLANCE))]
    if way == 1:
        return [number_of(packet) for packet in receiver.recv_burst(5, GLANCE)]
    with receiver.rx_burst(5, GLANCE) as slots:
        return [number_of(bytes(packet)) for packet in slots]


def share_queues(rounds: int) -> None:
    """Each packet is received once and whole, whichever calls send and receive it."""
    expected = THREADS * rounds * GROUP
    found: list[int] = []

    def send(sender: Interface, thread: int) -> None:
        for turn in range(rounds):
            first = (turn * THREADS + thread) * GROUP
            packets = [numbered(number) for number in range(first, first + GROUP)]
            _send(sender, packets, (turn + thread) % 3)

    def receive(receiver: Interface, thread: int) -> None:
        glances = turn = 0
        while len(found) < expected and glances < GLANCES:
            try:
                found.extend(_receive(receiver, (turn + thread) % 3))
                glances = 0
            except Timeout:
                glances += 1
            turn += 1

    with pair() as (sender, receiver):
        together(
            *(lambda n=n: send(sender, n) for n in range(THREADS)),
            *(lambda n=n: receive(receiver, n) for n in range(THREADS)),
        )
    assert sorted(found) == list(range(expected))


# ---- the same burst ----


def _views(slots: burst.Burst) -> None:
    for turn in range(TRIES):
        with contextlib.suppress(BufferError):
            view = slots[turn % len(slots)]
            rows = memoryview(slots)
            assert rows.nbytes >= len(view)
            assert slots.views >= 2
            del view, rows


def _lengths(slots: burst.Burst) -> None:
    for at in range(len(slots)):
        slots.lengths[at] = 1 << 31  # more than fits
        slots.lengths[at] = 4


def _end(call: Callable[[], object]) -> object:
    """The result of a call that ends the burst; None when another one has, or views are alive."""
    for _ in range(TRIES):
        with contextlib.suppress(BufferError, ValueError):
            return call()
    return None


def _send_shared(sending: TxBurst, end: str) -> int:
    """Threads view a burst, change its lengths and end it. How many packets it sent."""
    slots = sending._slots
    results = together(
        lambda: _views(slots),
        lambda: _lengths(slots),
        lambda: _end(lambda: slots.send(4)),
        lambda: _end(lambda: slots.send(4)),
        lambda: _end(getattr(slots, end)),
    )
    sending.release()
    sent = [result[0] for result in results if result is not None]
    assert sent in ([], [4])
    return sum(sent)


def _release_shared(received: RxBurst) -> None:
    slots = received._slots
    together(
        lambda: _views(slots),
        lambda: _views(slots),
        lambda: _end(slots.release),
        lambda: _end(slots.abandon),
        lambda: _end(received.release),
        lambda: _end(received.release),
    )
    received.release()
    assert not slots.open
    assert slots.views == 0


def share_bursts(rounds: int) -> None:
    """One of the threads that share a burst ends it, and no slot is lost."""
    with pair() as (sender, receiver):
        room = capacity(sender)
        for turn in range(rounds):
            sent = _send_shared(sender.tx_burst(4, 8, TIMEOUT), ("abandon", "release")[turn % 2])
            sender.send_burst([b"last"], TIMEOUT)
            received = receiver.rx_burst(RING, TIMEOUT)
            assert len(received) == sent + 1
            _release_shared(received)
            assert capacity(sender) == room


# ---- the same list ----


def share_lists(rounds: int) -> None:
    """A list of packets may change while it is sent: what is sent was in it.

    The items of a list one by one: Python 3.13 itself has a race in the assignment to a slice.
    """
    packets = [numbered(number) for number in range(GROUP)]
    over = threading.Event()

    def change() -> None:
        for turn in range(20 * rounds):
            packets.append(numbered(turn))
            packets[turn % len(packets)] = numbered(turn + 1)
            if len(packets) > RING:
                packets.clear()

    def send(sender: Interface) -> None:
        for _ in range(10 * rounds):
            with contextlib.suppress(ValueError):
                burst.send_burst(sender._state.number, 0, packets, 0)
            copy = burst.burst_from_bytes(packets)
            for at in range(len(copy)):
                number_of(bytes(copy[at]))

    def receive(receiver: Interface) -> None:
        while not over.is_set():
            with contextlib.suppress(Timeout):
                _receive(receiver, 1)

    def change_and_send(sender: Interface) -> None:
        try:
            together(change, lambda: send(sender), lambda: send(sender))
        finally:
            over.set()

    with pair() as (sender, receiver):
        together(lambda: change_and_send(sender), lambda: receive(receiver))


# ---- the end of a link ----


def cut_links(rounds: int) -> None:
    """Links end while threads copy packets out of their memory and into it."""
    over = threading.Event()

    def until_over(call: Callable[[], object]) -> None:
        while not over.is_set():
            with contextlib.suppress(MemifError):
                call()

    def receive(receiver: Interface) -> None:
        for packet in receiver.recv_burst(4, GLANCE):
            assert packet == packet[:1] * LARGE

    def view(receiver: Interface) -> None:
        with receiver.rx_burst(4, GLANCE) as slots:
            packets = [bytes(packet) for packet in slots]
        for packet in packets:
            assert packet == packet[:1] * LARGE

    def cut(sender: Interface, receiver: Interface) -> None:
        try:
            for _ in range(rounds):
                reconnect(sender, receiver)
        finally:
            over.set()

    packets = [bytes([number]) * LARGE for number in range(8)]
    with pair(buffer_size=LARGE) as (sender, receiver):
        together(
            lambda: cut(sender, receiver),
            lambda: until_over(lambda: sender.send_burst(packets, GLANCE)),
            lambda: until_over(lambda: sender.send(packets[0], GLANCE)),
            lambda: until_over(lambda: receive(receiver)),
            lambda: until_over(lambda: receive(receiver)),
            lambda: until_over(lambda: view(receiver)),
        )


ALL = (share_queues, share_bursts, share_lists, cut_links)

if __name__ == "__main__":
    for part in ALL:
        part(int(sys.argv[1]) if sys.argv[1:] else 100)
        print(part.__name__, "done", flush=True)
