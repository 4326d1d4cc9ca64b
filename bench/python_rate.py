# SPDX-License-Identifier: Apache-2.0
"""Packets per second between two Python processes: one at a time, in bursts, in arrays, awaited.

Prints one JSON object for each size and form.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy

from libmemif_py import AsyncInterface, Interface

SIZES = (64, 1500)
BURST = 256
LINK_TIMEOUT = 20.0
BETWEEN_LOOKS = 64


def send_single(interface: Interface, packet: bytes) -> None:
    """One packet at a time."""
    for _ in range(BURST):
        interface.send(packet)


def send_burst(interface: Interface, packet: bytes) -> None:
    """Lists of packets."""
    interface.send_burst([packet] * BURST)


def receive_single(interface: Interface) -> int:
    """One packet at a time; returns how many."""
    for _ in range(BETWEEN_LOOKS):
        interface.recv(LINK_TIMEOUT)
    return BETWEEN_LOOKS


def receive_burst(interface: Interface) -> int:
    """Lists of packets; returns how many packets."""
    return len(interface.recv_burst(BURST, LINK_TIMEOUT))


def send_rows(interface: Interface, packet: bytes) -> None:
    """Filled in place, all of them at once."""
    with interface.tx_burst(BURST, len(packet)) as burst:
        burst.data[:] = numpy.frombuffer(packet, numpy.uint8)


def count_rows(interface: Interface) -> int:
    """Where they lie, looking at nothing but how many and how long; returns how many packets."""
    with interface.rx_burst(BURST, LINK_TIMEOUT) as burst:
        int(burst.lengths.sum())
        return len(burst)


def match_rows(interface: Interface) -> int:
    """Where they lie, looking for one destination and type; returns how many packets."""
    with interface.rx_burst(BURST, LINK_TIMEOUT) as burst:
        headers = burst.data[:, :14]
        numpy.count_nonzero((headers == HEADER).all(axis=1))
        del headers
        return len(burst)


def find_rows(interface: Interface) -> int:
    """The same with `match`; returns how many packets."""
    with interface.rx_burst(BURST, LINK_TIMEOUT) as burst:
        len(burst.match(HEADER))
        return len(burst)


def rewrite_rows(interface: Interface) -> int:
    """Copied out at once, with MAC addresses swapped as for an answer; returns how many packets."""
    with interface.rx_burst(BURST, LINK_TIMEOUT) as burst:
        frames = burst.data.copy()
        count = len(burst)
    frames[:, :12] = frames[:, SWAPPED]
    return count


HEADER = numpy.zeros(14, numpy.uint8)
SWAPPED = [*range(6, 12), *range(6)]
FORMS: dict[str, tuple[Callable, Callable]] = {
    "send, recv": (send_single, receive_single),
    "send_burst, recv_burst": (send_burst, receive_burst),
    "tx_burst, rx_burst: count": (send_rows, count_rows),
    "tx_burst, rx_burst: match headers": (send_rows, match_rows),
    "tx_burst, rx_burst: match headers with match": (send_rows, find_rows),
    "tx_burst, rx_burst: copy, rewrite headers": (send_rows, rewrite_rows),
}


async def await_single(interface: AsyncInterface) -> int:
    """One packet at a time; returns how many."""
    for _ in range(BETWEEN_LOOKS):
        await interface.recv()
    return BETWEEN_LOOKS


async def await_burst(interface: AsyncInterface) -> int:
    """Lists of packets; returns how many packets."""
    return len(await interface.recv_burst(BURST))


async def async_send_single(interface: AsyncInterface, packet: bytes) -> None:
    """One packet at a time."""
    for _ in range(BURST):
        await interface.send(packet)


async def async_send_burst(interface: AsyncInterface, packet: bytes) -> None:
    """Lists of packets."""
    await interface.send_burst([packet] * BURST)


ASYNC_FORMS: dict[str, tuple[Callable, Callable]] = {
    "asyncio: send, recv": (async_send_single, await_single),
    "asyncio: send_burst, recv_burst": (async_send_burst, await_burst),
}


def run_sender(path: Path, form: str, size: int, cpu: int) -> None:
    """Send until the process is ended."""
    os.sched_setaffinity(0, {cpu})
    packet = bytes(size)
    if form in ASYNC_FORMS:
        asyncio.run(run_async_sender(path, ASYNC_FORMS[form][0], packet))
    send = FORMS[form][0]
    with Interface(path) as interface:
        interface.wait_connected(LINK_TIMEOUT)
        while True:
            send(interface, packet)


async def run_async_sender(path: Path, send: Callable, packet: bytes) -> None:
    """Send until the process is ended."""
    async with AsyncInterface(path) as interface:
        await interface.wait_connected()
        while True:
            await send(interface, packet)


def rate(interface: Interface, receive: Callable, seconds: float) -> float:
    """Packets per second."""
    warm_until = time.monotonic() + seconds / 4
    while time.monotonic() < warm_until:
        receive(interface)
    packets = 0
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        packets += receive(interface)
    return packets / (time.monotonic() - start)


async def async_rate(path: Path, receive: Callable, seconds: float, start: Callable) -> float:
    """Packets per second, awaited; `start` starts the sender when all is ready for it."""
    async with AsyncInterface(path, role="master") as interface:
        start()
        async with asyncio.timeout(LINK_TIMEOUT):
            await interface.wait_connected()
        warm_until = time.monotonic() + seconds / 4
        while time.monotonic() < warm_until:
            await receive(interface)
        packets = 0
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            packets += await receive(interface)
        return packets / (time.monotonic() - began)


def measure(path: Path, form: str, size: int, seconds: float, cpus: list[int]) -> dict:
    """One case, with a sender of its own."""
    context = multiprocessing.get_context("spawn")
    sender = context.Process(target=run_sender, args=(path, form, size, cpus[1]))
    try:
        if form in ASYNC_FORMS:
            receive = ASYNC_FORMS[form][1]
            packets = asyncio.run(async_rate(path, receive, seconds, sender.start))
        else:
            with Interface(path, role="master") as interface:
                sender.start()
                interface.wait_connected(LINK_TIMEOUT)
                packets = rate(interface, FORMS[form][1], seconds)
    finally:
        if sender.pid is not None:
            sender.kill()
            sender.join()
    return {"what": "python", "form": form, "size": size, "rate": round(packets)}


def main() -> None:
    """Measure and print all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--cpus", default="0,1", help="of the receiver and the sender")
    options = parser.parse_args()
    cpus = [int(cpu) for cpu in options.cpus.split(",")]
    os.sched_setaffinity(0, {cpus[0]})
    for size in SIZES:
        for form in (*FORMS, *ASYNC_FORMS):
            record = measure(options.socket, form, size, options.seconds, cpus)
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
