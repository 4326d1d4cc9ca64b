# SPDX-License-Identifier: Apache-2.0
"""odd_sender.py SOCKET ROLE VERSION ROUNDS: in each round sends packets one by one, with moments in
between, and waits for the answer. Also the receiver of that, with different ways to wait."""

import asyncio
import random
import select
import sys
import time
from collections.abc import Callable

from libmemif_py import Interface, Timeout

TIMEOUT = 40.0
MOST = 150
FIRST = 60  # of MOST, before the receiver takes any
SPARED = 4  # at least, of the others
SHORTEST, LONGEST = 1e-7, 1e-4


def counts(rounds: int) -> list[int]:
    """Packets of each round, the same for both ends."""
    source = random.Random(rounds)  # noqa: S311 - for tests
    return [source.choice([1, 2, 20, MOST]) for _ in range(rounds)]


def send(interface: Interface, rounds: int) -> None:
    """The sender's part."""
    source = random.Random()  # noqa: S311 - for tests
    for number, count in enumerate(counts(rounds)):
        for index in range(count):
            if index == FIRST:
                assert interface.recv(TIMEOUT) == b"go on"
            interface.send(b"%d %d" % (number, index), TIMEOUT)
            if source.random() < 0.1:
                until = time.perf_counter() + source.uniform(SHORTEST, LONGEST)
                while time.perf_counter() < until:
                    pass
        assert interface.recv(TIMEOUT) == b"%d" % number


def one_by_one(interface: Interface) -> list[bytes]:
    return [interface.recv(TIMEOUT)]


def in_bursts(interface: Interface) -> list[bytes]:
    return interface.recv_burst(24, TIMEOUT)


def of_any_queue(interface: Interface) -> list[bytes]:
    return [interface.any_queue.recv(TIMEOUT)]


def selected(interface: Interface) -> list[bytes]:
    """As programs with an event loop of their own."""
    while True:
        assert select.select([interface], [], [], TIMEOUT)[0]
        try:
            return [interface.recv(0)]
        except Timeout:
            continue


def read_by_a_loop(interface: Interface) -> list[bytes]:
    """With a loop that looks at the descriptor until all is received."""

    async def main() -> list[bytes]:
        loop, packets = asyncio.get_running_loop(), asyncio.Queue()

        def read() -> None:
            try:
                packets.put_nowait(interface.recv(0))
            except Timeout:
                return

        loop.add_reader(interface.fileno(), read)
        try:
            async with asyncio.timeout(TIMEOUT):
                got = [await packets.get()]
        finally:
            loop.remove_reader(interface.fileno())
        while not packets.empty():
            got.append(packets.get_nowait())
        return got

    return asyncio.run(main())


RECEIVE: dict[str, Callable[[Interface], list[bytes]]] = {
    "recv": one_by_one,
    "recv_burst": in_bursts,
    "any_queue": of_any_queue,
    "select": selected,
    "add_reader": read_by_a_loop,
}


def receive(interface: Interface, some: Callable[[Interface], list[bytes]], rounds: int) -> int:
    """The receiver's part. Returns how many packets were sent during pauses, at least."""
    interface.wait_connected(TIMEOUT)
    for number, count in enumerate(counts(rounds)):
        got: list[bytes] = begin_long_round(interface, some) if count == MOST else []
        while len(got) < count:
            got += some(interface)
        assert got == [b"%d %d" % (number, index) for index in range(count)]
        interface.send(b"%d" % number, TIMEOUT)
    return SPARED * counts(rounds).count(MOST)


def begin_long_round(interface: Interface, some: Callable[[Interface], list[bytes]]) -> list[bytes]:
    """The first packets, with a pause that lasts until others have come."""
    while interface.rx_fill() < FIRST:
        time.sleep(0)
    got = some(interface)
    interface.send(b"go on", TIMEOUT)
    while len(got) + interface.rx_fill() < FIRST + SPARED:
        time.sleep(0)
    return got


def main(path: str, role: str, version: int, rounds: int) -> None:
    """Says at the end how many packets needed no signal."""
    with Interface(path, role=role, version=version) as interface:
        interface.wait_connected(TIMEOUT)
        send(interface, rounds)
        counters = interface.counters().tx[0]
        print(counters.packets - counters.interrupts)


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:5]))
