# SPDX-License-Identifier: Apache-2.0
"""A Python program pings the C program icmp_responder over memif.

First Python is the master and icmp_responder the slave, then the other way round. Ends with status
0 if no packet was lost.
"""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import tempfile
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from pinger import Pinger

from libmemif_py import Interface, MemifError
from libmemif_py.tools.formats.icmp import HEADERS, Host, PacketError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

RESPONDER = Path(sys.prefix) / "bin" / "icmp_responder"
US = Host(bytes.fromhex("020000000001"), IPv4Address("192.168.1.1"))
RESPONDER_IP = IPv4Address("192.168.1.2")

PINGS = 5
PING_PAYLOAD = 56
LOAD = 100_000
LOAD_FRAME = 64
# Far fewer than the 1024 slots of a ring: nobody has to drop anything.
LOAD_WINDOW = 256
TIMEOUT = 5.0


def print_lines_at_once() -> None:
    """Also into a pipe, where Python would wait for more."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


@contextlib.contextmanager
def responder(socket: Path, mode: int) -> Iterator[None]:
    """The C program with one interface; mode 0 is the slave, 1 the master."""
    process = subprocess.Popen(
        [RESPONDER, "-s", socket], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        assert process.stdin is not None
        process.stdin.write(b"conn 0 %d\n" % mode)
        process.stdin.close()
        yield
    finally:
        process.terminate()
        process.wait()


def ping(pinger: Pinger) -> int:
    """Ping, and print the same lines as ping. Returns how many packets were lost."""
    print(f"PING {RESPONDER_IP} {PING_PAYLOAD} bytes of data.")
    times = []
    for sequence in range(1, PINGS + 1):
        try:
            reply, seconds = pinger.ping(sequence, HEADERS + PING_PAYLOAD)
        except TimeoutError:
            continue
        times.append(seconds * 1000)
        size = len(reply.payload) + 8
        print(
            f"{size} bytes from {reply.source}: "
            f"icmp_seq={reply.sequence} ttl={reply.ttl} time={times[-1]:.3f} ms"
        )
    lost = PINGS - len(times)
    print(f"--- {RESPONDER_IP} ping statistics ---")
    print(
        f"{PINGS} packets transmitted, {len(times)} received, {lost / PINGS:.0%} packet loss, "
        f"time {sum(times):.0f}ms"
    )
    if times:
        least, most, average = min(times), max(times), sum(times) / len(times)
        print(f"rtt min/avg/max = {least:.3f}/{average:.3f}/{most:.3f} ms")
    return lost


def load(pinger: Pinger) -> int:
    """Ping as fast as possible. Returns how many packets were lost."""
    result = pinger.load(LOAD, LOAD_FRAME, LOAD_WINDOW)
    rate = result.received / result.seconds
    print(
        f"load: {result.sent} requests of {LOAD_FRAME} bytes in {result.seconds:.2f} s, "
        f"{rate:,.0f} answers per second, {result.lost} lost"
    )
    return result.lost


def converse(interface: Interface) -> int:
    """Ping over an interface, one by one and as load. Returns how many packets were lost."""
    interface.wait_connected(TIMEOUT)
    details = interface.details()
    print(
        f"connected to {details.remote_app_name} {details.remote_name}, "
        f"protocol version {details.version}"
    )
    pinger = Pinger(interface, US, RESPONDER_IP, timeout=TIMEOUT)
    found = pinger.resolve()
    print(f"{found.ip} is at {found.mac.hex(':')}")
    return ping(pinger) + load(pinger)


def python_as_master(socket: Path) -> int:
    """The Python program is the master."""
    with Interface(socket, role="master", app_name="demo") as interface, responder(socket, 0):
        return converse(interface)


def python_as_slave(socket: Path) -> int:
    """The C program is the master."""
    with responder(socket, 1), Interface(socket, role="slave", app_name="demo") as interface:
        return converse(interface)


def stop(signal_number: int, _frame: FrameType | None) -> None:
    """Exit normally, so that everything that was started is stopped."""
    sys.exit(128 + signal_number)


def main() -> int:
    """Run both conversations."""
    if not RESPONDER.exists():
        print(
            f"demo: {RESPONDER} is missing: `./bootstrap demo` builds it, "
            "and so does meson with -Dexamples=true",
            file=sys.stderr,
        )
        return 1
    print_lines_at_once()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with tempfile.TemporaryDirectory(prefix="memif-demo") as folder:
            print("Python is the master, icmp_responder (C) the slave:")
            lost = python_as_master(Path(folder) / "first.sock")
            print("\nicmp_responder (C) is the master, Python the slave:")
            lost += python_as_slave(Path(folder) / "second.sock")
    except (MemifError, PacketError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0 if lost == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
