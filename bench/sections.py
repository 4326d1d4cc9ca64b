# SPDX-License-Identifier: Apache-2.0
"""What is measured: each function here takes one round of one kind of measurement.

A round measures the bare limit and every library right after one another, so that what the machine
does meanwhile meets all of them.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runner import Bench, Library, ProgramError, Record, read_records, socket_path, with_labels

HERE = Path(__file__).resolve().parent
APIS = {"v1": "1.0", "v4": "4.0"}
SIZES = (64, 512, 1500, 9000)
BURSTS = (1, 32, 256)
# Larger packets take several buffers, which not every library knows.
ONE_BUFFER = 2048
CASE = ("size", "burst", "payload")

EMPTY_CALLS = "empty calls"
"""A subject: the loops of the first section without a library."""

Note = Callable[[str], None]
"""Takes what could not be measured, and why."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    slice_us: int = 1500
    count_ms: int = 25
    warm_ms: int = 6
    samples: int = 20000
    rings: tuple[int, ...] = (1, 4)
    ways: tuple[str, ...] = ("one way", "echo")
    modes: tuple[str, ...] = ("polling", "interrupt")
    call_filter: tuple[str, ...] = ()
    """Options that leave out cases of calls."""
    python_seconds: float = 0.4
    startup_processes: int = 11
    startup_interfaces: int = 200
    testpmd_seconds: float = 0.3


QUICK = Plan(
    rounds=3,
    slice_us=800,
    count_ms=15,
    warm_ms=4,
    samples=4000,
    rings=(1,),
    ways=("one way",),
    call_filter=("--mode", "polling", "--payload", "untouched"),
    python_seconds=0.15,
    startup_processes=4,
    startup_interfaces=20,
    testpmd_seconds=0.15,
)


def subject(library: Library, api: str, protocol: int | None = None) -> str:
    """What a column is called."""
    name = f"{library.name} {APIS[api]}"
    return f"{name} ({protocol})" if protocol else name


def throughput_cases() -> list[tuple[int, int, str]]:
    """Size, burst, payload: small packets are touched, others are copied in and out."""
    return [(size, burst, payload_of(size)) for size in SIZES for burst in BURSTS]


def payload_of(size: int) -> str:
    """What is done with packets of a size."""
    return "head" if size == 64 else "copied"


# ---- one thread ----


def calls_round(
    bench: Bench, libraries: Sequence[Library], plan: Plan, number: int, note: Note
) -> Iterator[Record]:
    """Cost of the calls, both ends in one thread."""
    common = ["--rounds", 1, "--slice", plan.slice_us, "--cpu", bench.cpus[0]]
    for protocol in (512, 256):
        records = bench.run("bare", "--what", "calls", "--protocol", protocol, *common)
        yield from with_labels(records, {"subject": "bare", "round": number})
        for library, api in _each(libraries):
            if protocol not in library.protocols_of(api):
                continue
            arguments = [*common, "--protocol", protocol, *plan.call_filter]
            name = subject(library, api)
            try:
                records = bench.run(f"calls_{api}", *arguments, library=library)
            except ProgramError as error:
                note(f"{name}, protocol {protocol}: {error}")
                continue
            yield from with_labels(records, {"subject": name, "round": number})
            # What of it is the loop around the calls: the same with calls that do nothing.
            yield from (
                {**r, "subject": EMPTY_CALLS, "ns": r["loop"], "round": number} for r in records
            )


# ---- two processes ----


def throughput_round(
    bench: Bench, libraries: Sequence[Library], plan: Plan, number: int, note: Note
) -> Iterator[Record]:
    """Packets per second."""
    for rings in plan.rings:
        for way in plan.ways:
            labels = {"round": number, "way": way}
            records = bench.placed(partial(_bare_throughput, bench, plan, rings, way))
            yield from with_labels(records, {**labels, "subject": "bare"})
            for library, api in _each(libraries):
                labels["subject"] = subject(library, api)
                for cases in _what_it_can(library):
                    run = partial(_throughput, bench, library, api, plan, rings, way, cases)
                    try:
                        records = bench.placed(run)
                    except ProgramError as error:
                        note(f"{labels['subject']}, {way}: {error}")
                        continue
                    yield from with_labels(records, labels)


def latency_round(
    bench: Bench, libraries: Sequence[Library], plan: Plan, number: int, note: Note
) -> Iterator[Record]:
    """The round trip of one packet."""
    for mode in plan.modes:
        options = ["--interrupt"] if mode == "interrupt" else []
        samples = plan.samples if mode == "polling" else plan.samples // 4
        labels = {"round": number}
        arguments = ["--what", "latency", "--samples", samples, *_cpus(bench), *options]
        records = bench.placed(partial(bench.run, "bare", *arguments))
        yield from with_labels(records, {**labels, "subject": "bare"})
        for library, api in _each(libraries):
            leading = ["--samples", samples, "--warm", samples // 10, *options]
            answering = ["--echo", *options]
            name = subject(library, api)
            run = partial(bench.run_pair, f"latency_{api}", answering, leading, library)
            try:
                records = bench.placed(run)
            except ProgramError as error:
                note(f"{name}, round trip, {mode}: {error}")
                continue
            yield from with_labels(records, {**labels, "subject": name})


# ---- Python, start-up ----


def python_round(
    bench: Bench, _libraries: Sequence[Library], plan: Plan, number: int, note: Note
) -> Iterator[Record]:
    """Packets per second of the Python package that this interpreter finds."""
    command = [*bench.prefix(), sys.executable, HERE / "python_rate.py"]
    with socket_path() as path:
        arguments = ["--socket", path, "--seconds", str(plan.python_seconds)]
        arguments += ["--cpus", ",".join(map(str, bench.cpus))]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
    if done.returncode != 0:
        note(f"python_rate.py: {_last_line(done.stderr)}")
        return
    labels = {"subject": "Python", "round": number}
    yield from with_labels(read_records(done.stdout), labels)


def control(bench: Bench, plan: Plan, note: Note) -> str:
    """Start-up, connections and memory: what startup.py prints, or nothing when it is not there."""
    program = HERE / "startup.py"
    if not program.exists():
        note("start-up is not measured: there is no startup.py")
        return ""
    counts = ["--processes", str(plan.startup_processes)]
    counts += ["--interfaces", str(plan.startup_interfaces)]
    done = subprocess.run(
        [*bench.prefix(), sys.executable, program, *counts],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        note(f"startup.py: {_last_line(done.stderr)}")
    return done.stdout


# ---- helpers ----


def _last_line(text: str) -> str:
    """Of a traceback: what went wrong."""
    return text.strip().rpartition("\n")[2]


def _each(libraries: Sequence[Library]) -> Iterator[tuple[Library, str]]:
    for api in APIS:
        for library in libraries:
            if api in library.apis:
                yield library, api


def _cpus(bench: Bench) -> list[object]:
    return ["--cpu", bench.cpus[0], "--cpu2", bench.cpus[1]]


def _case_text(cases: Sequence[tuple[int, int, str]]) -> str:
    return ",".join(":".join(map(str, case)) for case in cases)


def _what_it_can(library: Library) -> list[list[tuple[int, int, str]]]:
    """Cases in groups, so that one group that fails does not take the others with it."""
    cases = throughput_cases()
    if library.directory is None:
        return [cases]
    small = [case for case in cases if case[0] <= ONE_BUFFER]
    return [small, [case for case in cases if case[0] > ONE_BUFFER]]


def _bare_throughput(bench: Bench, plan: Plan, rings: int, way: str) -> list[Record]:
    echo = ["--echo"] if way == "echo" else []
    arguments = ["--what", "throughput", "--rings", rings, *echo, *_cpus(bench)]
    arguments += ["--warm", plan.warm_ms, "--count", plan.count_ms]
    records = bench.run("bare", *arguments, "--cases", _case_text(throughput_cases()))
    return received(records)


def _throughput(
    bench: Bench,
    library: Library,
    api: str,
    plan: Plan,
    rings: int,
    way: str,
    cases: Sequence[tuple[int, int, str]],
) -> list[Record]:
    common = ["--rings", rings, "--cases", _case_text(cases)]
    common += ["--warm", plan.warm_ms, "--count", plan.count_ms]
    answers, leads = ("echo", "both") if way == "echo" else ("receive", "send")
    records = bench.run_pair(
        f"throughput_{api}",
        [*common, "--role", answers],
        [*common, "--role", leads],
        library,
    )
    return received(records)


def received(records: Sequence[Record]) -> list[Record]:
    """What arrived; each case with the share of the processor that the worse-off end had."""
    by_case: dict[tuple, list[Record]] = {}
    for record in records:
        if record["lost"] or record["disordered"]:
            raise ProgramError(
                f"{record['rings']} rings: {record['lost']} packets lost, "
                f"{record['disordered']} out of order"
            )
        by_case.setdefault(tuple(record[key] for key in CASE), []).append(record)
    return [
        # An end that has not counted was kept from running.
        {**record, "share": min(r["share"] for r in ends) if len(ends) == 2 else 0.0}
        for ends in by_case.values()
        for record in ends
        if record["role"] in ("receive", "both")
    ]
