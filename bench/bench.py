# SPDX-License-Identifier: Apache-2.0
"""Measures the C and Python APIs, next to the bare limit and next to other libraries.

Usage: ./bootstrap bench [options]

Every round measures the bare limit and each library right after one another. The medians of the
rounds are printed with the median of the ratios; what spreads over 20 % is marked with ~. All of
it goes to bench/results/bench.json, with pictures beside it.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import instructions
import origin
import pictures
import responders
import sections
import tables
from results import Results, summarise
from runner import Bench, Library, ProgramError, Record, find_other, has, processor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SECTIONS = (
    *("calls", "instructions", "throughput", "latency"),
    *("responder", "testpmd", "python", "control"),
)

KEYS = {
    "calls": ("protocol", "mode", "to", "pattern", "size", "payload"),
    "throughput": ("rings", "way", "size", "burst", "payload"),
    "latency": ("mode", "size"),
    "responder": ("program", "role", "size", "burst"),
    "testpmd": ("way", "burst"),
    "python": ("form", "size"),
}
VALUES = dict.fromkeys(KEYS, "rate") | {"calls": "ns", "latency": "median"}
# What a section is compared with; Python programs have no such limit.
BASES = dict.fromkeys(("calls", "throughput", "latency"), "bare") | {
    "responder": responders.PLAIN,
    "testpmd": "testpmd",
}
TESTPMD_ROUNDS = 3
BETWEEN_PROCESSORS = ("throughput", "latency", "responder", "testpmd", "python")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="./bootstrap bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer cases and rounds")
    add("--rounds", type=int, help="of everything (default 5, quick 3)")
    add("--only", action="append", choices=SECTIONS, help="measure this; may be repeated")
    add(
        "--compare",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="folder of another libmemif.so.0 (1.0) or libmemif.so (4.0); may be repeated",
    )
    add("--testpmd", action="store_true", help="also with dpdk-testpmd as the peer")
    add(
        "--cpus",
        type=processors,
        metavar="A,B",
        help="processors to run on (default: the first two)",
    )
    add("--realtime", action="store_true", help="real-time priority: for machines that are in use")
    add("--build", type=Path, default=ROOT / "build", metavar="DIR", help="build directory")
    add("--output", type=Path, default=HERE / "results", metavar="DIR")
    add("--publish", action="store_true", help="write the pictures of the README to docs/")
    add(
        "--record-instructions",
        action="store_true",
        help="write the counts of the build's compiler into bench/instructions.json anew",
    )
    return parser.parse_args()


def make_plan(options: argparse.Namespace) -> sections.Plan:
    """How much is measured."""
    plan = sections.QUICK if options.quick else sections.Plan()
    return replace(plan, rounds=options.rounds) if options.rounds else plan


def make_bench(options: argparse.Namespace) -> Bench:
    """Where, and on which processors: the same one twice if there is no other."""
    available = sorted(os.sched_getaffinity(0))
    chosen = options.cpus or (available * 2)[:2]
    if len(chosen) != 2 or not set(chosen) <= set(available):
        raise ProgramError(f"--cpus {chosen}: expected two of {available}, as A,B")
    return Bench(options.build.resolve(), (chosen[0], chosen[1]), options.realtime)


def processors(text: str) -> list[int]:
    """The numbers of --cpus."""
    return [int(cpu) for cpu in text.split(",")]


class Run:
    """One run of the benchmark: what is measured, and what was."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Find the libraries."""
        self.options = options
        self.start = time.time()
        self.plan = make_plan(options)
        self.bench = make_bench(options)
        others = [find_other(self.bench, argument) for argument in options.compare]
        self.libraries = [Library("ours"), *others]
        self.records: dict[str, list[Record]] = {}
        self.notes: list[str] = []
        self.texts: dict[str, object] = {}

    def note(self, text: str) -> None:
        """Keep what could not be measured, once."""
        line = text.strip().splitlines()[0] if text.strip() else "failed without a word"
        if line not in self.notes:
            self.notes.append(line)

    def wanted(self, section: str) -> bool:
        """Whether a section was asked for."""
        if section == "testpmd" and not self.options.testpmd:
            return False
        if self.options.only and section not in self.options.only:
            return False
        if section in BETWEEN_PROCESSORS and len(set(self.bench.cpus)) == 1:
            self.note(f"{section} is not measured: it needs two processors")
            return False
        return True

    def measure(self) -> None:
        """All sections."""
        for section in SECTIONS:
            if not self.wanted(section):
                continue
            start = time.monotonic()
            print(f"{section} ...", end="", flush=True, file=sys.stderr)
            getattr(self, f"measure_{section}", lambda name=section: self.measure_rounds(name))()
            print(f" {time.monotonic() - start:.0f} s", file=sys.stderr)

    def measure_rounds(self, section: str) -> None:
        """Round after round."""
        take = getattr(sections, f"{section}_round", responders.responder_round)
        self._rounds(
            section,
            self.plan.rounds,
            lambda number: take(self.bench, self.libraries, self.plan, number, self.note),
        )

    def measure_instructions(self) -> None:
        """Not in rounds: the counts are always the same."""
        if not has("valgrind"):
            self.note("instructions are not counted: valgrind is not installed")
            return
        costs = instructions.measure(self.bench)
        self.texts["instructions"] = instructions.instructions_of(costs)
        self.texts["system calls"] = instructions.most_system_calls(costs)

    def measure_testpmd(self) -> None:
        """In fewer rounds, for testpmd is slow to command."""
        import with_testpmd

        rounds = min(self.plan.rounds, TESTPMD_ROUNDS)
        with (
            tempfile.TemporaryDirectory(prefix="memif-bench-") as folder,
            with_testpmd.Peers(self.bench, Path(folder)) as peers,
        ):
            self._rounds(
                "testpmd",
                rounds,
                lambda number: with_testpmd.testpmd_round(
                    peers, self.libraries, self.plan, number, self.note
                ),
            )

    def measure_control(self) -> None:
        """What startup.py prints."""
        self.texts["control"] = sections.control(self.bench, self.plan, self.note)

    def _rounds(self, section: str, count: int, take: Callable[[int], Iterator[Record]]) -> None:
        records = self.records.setdefault(section, [])
        for number in range(count):
            records += take(number)

    def results(self) -> dict[str, Results]:
        """By section; the throughput under the name of its section."""
        return {
            section: Results(records, KEYS[section], VALUES[section])
            for section, records in self.records.items()
        }

    def report(self) -> None:
        """Print the tables, write the files."""
        results = self.results()
        publish = self.options.publish
        if publish and pictures.in_use(results):
            self.note("docs/ stays as it is: the machine was in use; try again when it is not")
            publish = False
        origins = origin.origins(self.libraries, self.start)
        tables.print_all(results, self.records, self.texts, self.notes, origins)
        self.options.output.mkdir(parents=True, exist_ok=True)
        written = [self._write_json(results)]
        written += pictures.draw_all(results, self.options.output, self.caption())
        if publish:
            written += pictures.draw_all(results, ROOT / "docs", self.caption())
        print("written: " + " ".join(os.path.relpath(path) for path in written))

    def caption(self) -> str:
        """Of the pictures: where their numbers come from."""
        quick = " --quick" if self.options.quick else ""
        ours, *_ = origin.origins(self.libraries[:1], self.start)
        return (
            f"{processor()}, {os.cpu_count()} processors; medians of {self.plan.rounds} rounds; "
            f"commit {ours['commit']}, {ours['date']}; ./bootstrap bench{quick} --publish"
        )

    def _write_json(self, results: dict[str, Results]) -> Path:
        path = self.options.output / "bench.json"
        content = {
            **origin.machine(),
            "origins": origin.origins(self.libraries, self.start),
            "cpus": self.bench.cpus,
            "realtime": self.bench.realtime,
            "rounds": self.plan.rounds,
            "notes": self.notes,
            **self.texts,
            **{
                name: summarise(found, KEYS[name], BASES.get(name))
                for name, found in results.items()
            },
        }
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path


def main() -> None:
    """Run the benchmark."""
    options = parse_arguments()
    # Ends through all the clean-up: nothing that spins must be left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.record_instructions:
            origin = instructions.record(Bench(options.build.resolve()))
            print(f"written: {os.path.relpath(instructions.RECORD)}, the counts of {origin}")
            return
        run = Run(options)
        with contextlib.suppress(KeyboardInterrupt):
            run.measure()
        run.report()
    except ProgramError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
