# SPDX-License-Identifier: Apache-2.0
"""Instructions and system calls in each call of the library, counted by callgrind.

They are steady where times are not. The instructions per packet are recorded in instructions.json;
a test compares with them.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from runner import Bench, Library, ProgramError, read_records

RECORD = Path(__file__).with_name("instructions.json")
RECORD_COMMAND = "./bootstrap bench --record-instructions"
TOLERANCE = 0.05
# Another compiler makes other code of the same source.
OTHER_COMPILER_TOLERANCE = 0.25
CALLS = {
    "memif_buffer_alloc": "alloc",
    "memif_tx_burst": "tx",
    "memif_rx_burst": "rx",
    "memif_buffer_free": "free",
    "memif_refill_queue": "free",
}
KINDS = ("alloc", "tx", "rx", "free")
RUNS = tuple((generation, protocol) for generation in ("1", "4") for protocol in (256, 512))

Counts = dict[str, dict[str, float]]
"""By the name of a case: instructions per packet in each kind of call, and their sum."""


@dataclass(frozen=True)
class Cost:
    """What one case costs."""

    instructions: dict[str, float]
    """Per packet: in each kind of call, and their sum."""
    system_calls: dict[str, float]
    """Per call of each kind."""


def measure(bench: Bench) -> dict[str, Cost]:
    """Count all cases, by name."""
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda run: measure_run(bench, *run), RUNS)
        return {name: cost for part in parts for name, cost in part.items()}


def measure_run(bench: Bench, generation: str, protocol: int) -> dict[str, Cost]:
    """Count the cases of one generation of the interface and one protocol version."""
    with tempfile.TemporaryDirectory(prefix="memif-bench-") as folder:
        output = Path(folder) / "counts"
        records = _run(bench.program(f"calls{generation}"), protocol, output)
        return {
            # Every case ends two counts: that of what came before it, and its own.
            name_of(record): _cost(Path(f"{output}.{2 * i + 2}"), record["packets"])
            for i, record in enumerate(records)
        }


def instructions_of(costs: dict[str, Cost]) -> Counts:
    """What is recorded."""
    return {name: cost.instructions for name, cost in costs.items()}


def name_of(record: dict) -> str:
    """What a case is called in the record."""
    return (
        f"{record['interface']}, protocol {record['protocol']}, to the {record['to']}, "
        f"{record['pattern']}, {record['mode']}"
    )


def compiler(build: Path) -> str:
    """The compiler that a build directory was configured with."""
    compilers = json.loads((build / "meson-info" / "intro-compilers.json").read_text())
    found = compilers["host"]["c"]
    return f"{found['id']} {found['version']}"


def record(bench: Bench) -> None:
    """Write the record anew."""
    counts = instructions_of(measure(bench))
    # A line for each case, so that a change can be read.
    lines = [f"  {json.dumps(name)}: {json.dumps(costs)}" for name, costs in counts.items()]
    RECORD.write_text(
        f'{{\n "compiler": {json.dumps(compiler(bench.build))},\n "instructions": {{\n'
        + ",\n".join(lines)
        + "\n }\n}\n"
    )


def read_record() -> tuple[str, Counts]:
    """The compiler of the record, and the counts."""
    content = json.loads(RECORD.read_text())
    return content["compiler"], content["instructions"]


def tolerance(recorded_with: str, measured_with: str) -> float:
    """How much a count may grow."""
    return TOLERANCE if recorded_with == measured_with else OTHER_COMPILER_TOLERANCE


def growths(recorded: Counts, measured: Counts, allowed: float) -> list[str]:
    """A line for each count that grew by more than is allowed."""
    return [
        f"{name}: {kind} takes {measured[name][kind]:.2f} instructions a packet, recorded were "
        f"{was:.2f} ({measured[name][kind] / was - 1:+.1%})"
        for name in measured.keys() & recorded.keys()
        for kind, was in sorted(recorded[name].items())
        if measured[name][kind] > was * (1 + allowed)
    ]


def _run(program: Path, protocol: int, output: Path) -> list[dict]:
    command = [
        "valgrind",
        "--tool=callgrind",
        "--collect-systime=yes",
        "--dump-before=bench_mark",
        f"--callgrind-out-file={output}",
        program,
        "--instructions",
        "--protocol",
        str(protocol),
        *("--size", "64", "--payload", "untouched"),
    ]
    environment = Library("ours").environment()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise ProgramError(f"{' '.join(map(str, command))}: {done.stderr}")
    return read_records(done.stdout)


def _cost(path: Path, packets: int) -> Cost:
    calls = dict.fromkeys(KINDS, 0)
    instructions = dict.fromkeys(KINDS, 0)
    system_calls = dict.fromkeys(KINDS, 0)
    for function, times, cost in _calls(path.read_text().splitlines()):
        if function in CALLS:
            kind = CALLS[function]
            calls[kind] += times
            instructions[kind] += cost[0]
            system_calls[kind] += cost[1]
    if not all(calls.values()):
        raise ProgramError(f"some kinds of call were not found: {calls}")
    per_packet = {kind: round(count / packets, 2) for kind, count in instructions.items()}
    return Cost(
        per_packet | {"sum": round(sum(instructions.values()) / packets, 2)},
        {kind: system_calls[kind] / calls[kind] for kind in KINDS},
    )


def _calls(lines: Iterable[str]) -> Iterator[tuple[str, int, list[int]]]:
    """Called functions, how often, and the inclusive costs, from a file in callgrind's format.

    A call is written as "cfn=(number) name", where the name is left out after its first time,
    "calls=count target", and "position instructions [system calls [their time]]".
    """
    names: dict[str, str] = {}
    called, times = "", 0
    for line in lines:
        function = re.match(r"(c?)fn=\((\d+)\)(?: (.*))?", line)
        if function:
            is_call, number, name = function.groups()
            names[number] = name or names.get(number, "")
            called = names[number] if is_call else called
        elif line.startswith("calls="):
            times = int(line.removeprefix("calls=").split()[0])
        elif times:
            instructions, system_calls, *_ = [*map(int, line.split()[1:]), 0]
            yield called, times, [instructions, system_calls]
            times = 0
