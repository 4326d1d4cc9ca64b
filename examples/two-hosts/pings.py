# SPDX-License-Identifier: Apache-2.0
"""The Python program of one host: pings the C program of the other one.

Closes its output when it has nothing more to say, and leaves when its input ends: whoever reads
the one and holds the other decides how long the memif stays.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import RESPONDER_IP, US, ping, print_lines_at_once
from pinger import BURST, Load, Pinger

from libmemif_py import Interface, MemifError, Timeout
from libmemif_py.tools.formats.icmp import Host, PacketError, echo_request, read_echo_reply

# Processors may be few and busy: for somebody to start, to connect, to answer.
PATIENCE = 60.0
# So long without a packet, and what is missing is lost.
QUIET = 3.0
FRAME = 64
# Fewer than the least of the rings on the way holds, so that nothing is lost.
WINDOW = 128
IDENTIFIER = 2
PAYLOAD = bytes(22)


def flood(interface: Interface, target: Host, count: int) -> Load:
    """Ping without waiting for answers. Raises PacketError for a wrong one, or one that came twice.

    Packets are made before and looked at afterwards: in between the way is what takes the time.
    """
    requests = [echo_request(US, target, IDENTIFIER, n, PAYLOAD) for n in range(count)]
    answers: list[bytes] = []
    start = last = time.perf_counter()
    for first in range(0, count, BURST):
        interface.send_burst(requests[first : first + BURST], PATIENCE)
        try:
            answers += interface.recv_burst(4 * BURST, 0)
        except Timeout:
            continue
    while len(answers) < count:
        try:
            answers += interface.recv_burst(4 * BURST, QUIET)
        except Timeout:
            break
        last = time.perf_counter()
    sequences = {read_echo_reply(frame, US).sequence for frame in answers}
    if len(sequences) != len(answers) or not sequences <= set(range(count)):
        raise PacketError(f"{len(answers)} answers, but {len(sequences)} different ones")
    return Load(count, len(answers), last - start)


def show(what: str, load: Load) -> None:
    """How many, how fast, how many lost."""
    rate = load.received / load.seconds if load.received else 0
    print(
        f"{what}: {load.sent:,} requests of {FRAME} bytes, {load.received:,} answers,\n"
        f"    {rate:,.0f} answers per second, {load.lost / load.sent:.1%} lost"
    )


def converse(interface: Interface, count: int) -> int:
    """Everything that there is to show; returns the exit status."""
    interface.wait_connected(PATIENCE)
    details = interface.details()
    print(f"Python: connected to {details.remote_app_name}, protocol version {details.version}")
    pinger = Pinger(interface, US, RESPONDER_IP, timeout=PATIENCE)
    try:
        target = pinger.resolve(attempts=60)  # the other host may still be starting
    except Timeout:
        raise PacketError(
            f"nobody answered for {RESPONDER_IP} within {PATIENCE} s: is the other host's memif up?"
        ) from None
    print(f"{target.ip} is at {target.mac.hex(':')}")
    lost = ping(pinger)
    show(f"at most {WINDOW} unanswered", pinger.load(count, FRAME, WINDOW))
    result = flood(interface, target, count)
    show("without waiting", result)
    return 0 if lost == 0 and result.received > 0 else 1


def main() -> int:
    """Argument: abstract name of the memif, how many packets."""
    path, count = sys.argv[1], int(sys.argv[2])
    print_lines_at_once()
    with Interface(f"@{path}", app_name="pings.py") as interface:
        try:
            status = converse(interface, count)
        except (MemifError, PacketError) as error:
            print(f"pings.py: {error}", file=sys.stderr)
            status = 1
        # Only this ends it for the reader: to close sys.stdout leaves the descriptor open.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        sys.stdin.read()
    return status


if __name__ == "__main__":
    sys.exit(main())
