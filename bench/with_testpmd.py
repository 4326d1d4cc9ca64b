# SPDX-License-Identifier: Apache-2.0
"""Packets per second with DPDK's dpdk-testpmd as the peer, and between two of them.

One testpmd is the server: port 0 is for the programs here, port 1 for the testpmd that is the
client. It runs on the first processor, its peers run on the second.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from runner import Bench, Library, ProgramError, Record, with_labels
from sections import Note, Plan, subject

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "devtools"))

from testpmd import Testpmd, memif_vdev

BURSTS = (1, 32, 256)
SIZE = 64
OURS, THEIRS = 0, 1
REFERENCE = "testpmd"


class Peers:
    """The two testpmd."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        """Prepare; they run from __enter__ on."""
        self.bench = bench
        self.socket = folder / "memif.sock"
        self._stack = ExitStack()

    def __enter__(self) -> "Peers":
        """Start both and wait for their link."""
        with ExitStack() as stack:
            ports = [memif_vdev("server", self.socket, index) for index in (OURS, THEIRS)]
            self.server = self._start(stack, ports, self.bench.cpus[0])
            client = [memif_vdev("client", self.socket, THEIRS)]
            self.client = self._start(stack, client, self.bench.cpus[1])
            self.server.wait_for_link(port=THEIRS)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop both."""
        self._stack.__exit__(*exception)

    @contextmanager
    def answering_at_once(self) -> Iterator[None]:
        """The server's thread that takes commands goes before the one that forwards."""
        if not self.bench.realtime:
            yield
            return
        os.sched_setscheduler(self.server.pid, os.SCHED_RR, os.sched_param(2))
        try:
            yield
        finally:
            os.sched_setscheduler(self.server.pid, os.SCHED_RR, os.sched_param(1))

    def _start(self, stack: ExitStack, vdevs: Sequence[str], cpu: int) -> Testpmd:
        with on_processor(cpu):
            testpmd = stack.enter_context(Testpmd(vdevs))
        if self.bench.realtime:
            prefer(testpmd.pid)
        return testpmd


@contextmanager
def on_processor(cpu: int) -> Iterator[None]:
    """Processes that are started inside stay on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def prefer(pid: int) -> None:
    """Real-time priority, in turns: the thread that takes commands spins until the other stops."""
    for entry in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setscheduler(int(entry.name), os.SCHED_RR, os.sched_param(1))


def start(testpmd: Testpmd, mode: str, port: int, burst: int) -> None:
    """Let one port forward."""
    for command in (f"set portlist {port}", f"set fwd {mode}", f"set burst {burst}", "start"):
        testpmd.command(command)


def testpmd_round(
    peers: Peers, libraries: Sequence[Library], plan: Plan, number: int, note: Note
) -> Iterator[Record]:
    """Both directions and the echo, each with every library, then testpmd with itself."""
    for burst in BURSTS:
        labels = {"what": "testpmd", "round": number, "burst": burst, "size": SIZE}
        for way, records in _with_libraries(peers, libraries, plan, burst, note):
            yield from with_labels(records, {**labels, "way": way})
        reference = peers.bench.placed(partial(_reference, peers, plan, burst))
        for way in ("to testpmd", "from testpmd"):
            yield from with_labels(reference, {**labels, "way": way, "subject": REFERENCE})


def _with_libraries(
    peers: Peers, libraries: Sequence[Library], plan: Plan, burst: int, note: Note
) -> Iterator[tuple[str, list[Record]]]:
    times = ["--count", round(plan.testpmd_seconds * 500), "--warm", plan.warm_ms]
    common = ["--cases", f"{SIZE}:{burst}:head", *times]
    for way, mode, options in (
        ("to testpmd", "rxonly", ["--role", "send", "--leave"]),
        ("from testpmd", "txonly", ["--role", "receive", "--blind"]),
        ("there and back", "macswap", ["--role", "both", "--leave"]),
    ):
        for library in libraries:
            for api in library.apis:
                if 512 not in library.protocols_of(api):
                    continue
                program = f"throughput_{api}"
                arguments = common + options
                run = partial(_with_one, peers, program, library, mode, burst, arguments)
                try:
                    records = peers.bench.placed(run)
                except ProgramError as error:
                    note(f"{subject(library, api)}, {way}: {error}")
                    continue
                yield way, with_labels(records, {"subject": subject(library, api)})


def _with_one(
    peers: Peers,
    program: str,
    library: Library,
    mode: str,
    burst: int,
    arguments: Sequence[object],
) -> list[Record]:
    start(peers.server, mode, OURS, burst)
    with peers.bench.holding(program, peers.socket, arguments, library) as end:
        try:
            return end.records()
        finally:
            # It would read the rings of a link that goes down while it forwards.
            peers.server.command("stop")


def _reference(peers: Peers, plan: Plan, burst: int) -> list[Record]:
    start(peers.server, "rxonly", THEIRS, burst)
    start(peers.client, "txonly", 0, burst)
    peers.server.wait_for_stats(lambda stats: stats["rx_packets"] > 0, port=THEIRS)
    with peers.answering_at_once():
        packets, begin = _received(peers.server)
        time.sleep(plan.testpmd_seconds)
        more, end = _received(peers.server)
    peers.client.command("stop")
    peers.server.command("stop")
    return [{"rate": (more - packets) / (end - begin)}]


def _received(testpmd: Testpmd) -> tuple[int, float]:
    before = time.monotonic()
    packets = testpmd.stats(THEIRS)["rx_packets"]
    return packets, (before + time.monotonic()) / 2
