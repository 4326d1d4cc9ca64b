# SPDX-License-Identifier: Apache-2.0
"""Packets per second between two Python processes, one at a time and in bursts.

Prints one JSON object for each size and form.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

from libmemif_py import Interface

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


FORMS: dict[str, tuple[Callable, Callable]] = {
    "send, recv": (send_single, receive_single),
    "send_burst, recv_burst": (send_burst, receive_burst),
}


def run_sender(path: Path, form: str, size: int, cpu: int) -> None:
    """Send until the process is ended."""
    os.sched_setaffinity(0, {cpu})
    send = FORMS[form][0]
    packet = bytes(size)
    with Interface(path) as interface:
        interface.wait_connected(LINK_TIMEOUT)
        while True:
            send(interface, packet)


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


def measure(path: Path, form: str, size: int, seconds: float, cpus: list[int]) -> dict:
    """One case, with a sender of its own."""
    context = multiprocessing.get_context("spawn")
    sender = context.Process(target=run_sender, args=(path, form, size, cpus[1]))
    with Interface(path, role="master") as interface:
        sender.start()
        try:
            interface.wait_connected(LINK_TIMEOUT)
            packets = rate(interface, FORMS[form][1], seconds)
        finally:
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
        for form in FORMS:
            record = measure(options.socket, form, size, options.seconds, cpus)
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
