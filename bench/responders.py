# SPDX-License-Identifier: Apache-2.0
"""Pings per second that the example programs answer, next to a plain echo of the same packets."""

from collections.abc import Iterator, Sequence
from functools import partial

from runner import Bench, Library, ProgramError, Record, with_labels
from sections import Note, Plan

PROGRAMS = {"icmp_responder2": "v1", "icmp_responder4": "v4"}
ROLES = ("slave", "master")
SIZES = (64, 1500)
BURSTS = (1, 32, 256)
PLAIN = "echo"
"""The other end of the reference: `throughput` with the role echo, which polls."""


def responder_round(
    bench: Bench, libraries: Sequence[Library], plan: Plan, number: int, note: Note
) -> Iterator[Record]:
    """Each program in both roles with every library, and the plain echo with ours."""
    ours = libraries[0]
    for program, api in PROGRAMS.items():
        for role in ROLES:
            labels = {"round": number, "program": program, "role": role}
            runs = {PLAIN: partial(_plain_echo, bench, ours, api, plan, role)}
            for library in libraries:
                if api in library.apis:
                    runs[library.name] = partial(_flood, bench, library, api, plan, program, role)
            for name, run in runs.items():
                try:
                    records = bench.placed(run)
                except ProgramError as error:
                    note(f"{name}, {program} as {role}: {error}")
                    continue
                yield from with_labels(records, {**labels, "subject": name})


def _common(plan: Plan) -> list[object]:
    cases = ",".join(f"{size}:{burst}:copied" for size in SIZES for burst in BURSTS)
    return ["--cases", cases, "--warm", plan.warm_ms, "--count", plan.count_ms]


def _flood(
    bench: Bench, library: Library, api: str, plan: Plan, program: str, role: str
) -> list[Record]:
    records = bench.run_flood(f"flood_{api}", _common(plan), program, role, library)
    if any(record["disordered"] for record in records):
        raise ProgramError("answers came out of order")
    return records


def _plain_echo(bench: Bench, library: Library, api: str, plan: Plan, role: str) -> list[Record]:
    echo = [*_common(plan), "--role", "echo"]
    both = [*_common(plan), "--role", "both"]
    ends = (echo, both) if role == "master" else (both, echo)
    records = bench.run_pair(f"throughput_{api}", *ends, library)
    return [record for record in records if record["role"] == "both"]
