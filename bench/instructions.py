# SPDX-License-Identifier: Apache-2.0
"""Instructions and system calls in each call of the library, counted by callgrind.

They are steady where times are not. The instructions per packet are recorded in instructions.json,
for each compiler; tests/integration/test_instructions.py compares with them.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from runner import Bench, Library, ProgramError, Record, read_records

RECORD = Path(__file__).with_name("instructions.json")
RECORD_COMMAND = "./bootstrap bench --record-instructions"
TOLERANCE = 0.05
# Another compiler makes other code of the same source.
OTHER_COMPILER_TOLERANCE = 0.25
# Instructions per packet that a count may always grow by: of the smallest ones, 5 % is nothing.
SLACK = 0.5
# In one call of each kind. Sending wakes a peer that sleeps, receiving takes note of having seen
# the ring empty; the two others have nothing to tell anybody.
MOST_SYSTEM_CALLS = {
    "polling": {"alloc": 0, "tx": 0, "rx": 0, "free": 0},
    "interrupt": {"alloc": 0, "tx": 1, "rx": 1, "free": 0},
}
CALLS = {
    "memif_buffer_alloc": "alloc",
    "memif_tx_burst": "tx",
    "memif_rx_burst": "rx",
    "memif_buffer_free": "free",
    "memif_refill_queue": "free",
}
KINDS = ("alloc", "tx", "rx", "free")
RUNS = tuple((api, protocol) for api in ("v1", "v4") for protocol in (256, 512))

Counts = dict[str, dict[str, float]]
"""By the name of a case: instructions per packet in each kind of call, and their sum."""


@dataclass(frozen=True)
class Cost:
    """What one case costs."""

    instructions: dict[str, float]
    """Per packet: in each kind of call, and their sum."""
    system_calls: dict[str, float]
    """Per call of each kind. In one case, which is one thread, one burst and one order, the calls
    of a kind are all alike."""
    mode: str = "polling"


def measure(bench: Bench) -> dict[str, Cost]:
    """Count all cases, by name."""
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda run: measure_run(bench, *run), RUNS)
        return {name: cost for part in parts for name, cost in part.items()}


def measure_run(bench: Bench, api: str, protocol: int) -> dict[str, Cost]:
    """Count the cases of one C API and one protocol version."""
    with tempfile.TemporaryDirectory(prefix="memif-bench-") as folder:
        output = Path(folder) / "counts"
        records = _run(bench.program(f"calls_{api}"), protocol, output)
        return {
            # Every case ends two counts: that of what came before it, and its own.
            name_of(record): _cost(Path(f"{output}.{2 * i + 2}"), record)
            for i, record in enumerate(records)
        }


def instructions_of(costs: dict[str, Cost]) -> Counts:
    """What is recorded."""
    return {name: cost.instructions for name, cost in costs.items()}


def name_of(record: Record) -> str:
    """What a case is called in the record."""
    roomy = f", room for {record['room']}" if record["room"] > record["burst"] else ""
    return (
        f"{record['interface']}, protocol {record['protocol']}, to the {record['to']}, "
        f"{record['pattern']}{roomy}, {record['mode']}"
    )


@dataclass(frozen=True)
class Origin:
    """What counts depend on besides the source: the machine, and the compiler with the first number
    of its version."""

    machine: str
    family: str
    generation: int

    def __str__(self) -> str:
        """As it is called in the record."""
        return f"{self.family} {self.generation}"


@dataclass(frozen=True)
class Baseline:
    """Recorded counts, and how much a count may have grown since."""

    origin: Origin
    counts: Counts
    allowed: float


def origin_of(build: Path) -> Origin:
    """What a build directory was configured for. Raises ProgramError if it is no release build."""

    def read(name: str) -> object:
        return json.loads((build / "meson-info" / f"intro-{name}.json").read_text())

    options = {option["name"]: option["value"] for option in read("buildoptions")}
    if options["buildtype"] != "release":
        raise ProgramError(f"{build} is a {options['buildtype']} build: release builds are counted")
    compiler = read("compilers")["host"]["c"]
    machine = read("machines")["host"]["cpu_family"]
    return Origin(machine, compiler["id"], int(compiler["version"].partition(".")[0]))


def record(bench: Bench) -> Origin:
    """Write the counts of this build's compiler anew; those of others stay."""
    origin = origin_of(bench.build)
    recorded = read_record()
    if any(other.machine != origin.machine for other in recorded):
        recorded = {}
    recorded[origin] = instructions_of(measure(bench))
    sections = sorted(recorded.items(), key=lambda item: (item[0].family, item[0].generation))
    RECORD.write_text(
        f'{{\n "machine": {json.dumps(origin.machine)},\n "compilers": {{\n'
        + ",\n".join(_section(*section) for section in sections)
        + "\n }\n}\n"
    )
    return origin


def _section(origin: Origin, counts: Counts) -> str:
    # A line for each case, so that a change can be read.
    lines = [f"   {json.dumps(name)}: {json.dumps(costs)}" for name, costs in counts.items()]
    return f"  {json.dumps(str(origin))}: {{\n" + ",\n".join(lines) + "\n  }"


def read_record() -> dict[Origin, Counts]:
    """The recorded counts of each compiler."""
    content = json.loads(RECORD.read_text())
    return {
        Origin(content["machine"], family, int(generation)): counts
        for name, counts in content["compilers"].items()
        for family, generation in [name.split()]
    }


def baseline(recorded: dict[Origin, Counts], here: Origin) -> Baseline | None:
    """What to compare counts from here with: the record of this compiler, or else of the nearest
    generation of its family, or else of the nearest one of all. None: no record of this machine."""

    def distance(other: Origin) -> tuple[bool, int, int]:
        apart = abs(other.generation - here.generation)
        return other.family != here.family, apart, other.generation

    of_machine = [other for other in recorded if other.machine == here.machine]
    if not of_machine:
        return None
    nearest = min(of_machine, key=distance)
    allowed = TOLERANCE if nearest == here else OTHER_COMPILER_TOLERANCE
    return Baseline(nearest, recorded[nearest], allowed)


def differences(recorded: Counts, measured: Counts, allowed: float) -> list[str]:
    """A line for each count that grew by more than is allowed or that only one side has."""
    was, now = _flat(recorded), _flat(measured)
    lines = [f"{name}: recorded, but not measured" for name in was if name not in now]
    lines += [f"{name}: measured, but not recorded" for name in now if name not in was]
    return lines + [
        f"{name}: {now[name]:.2f} instructions a packet, recorded were {count:.2f}"
        for name, count in was.items()
        if name in now and now[name] > max(count * (1 + allowed), count + SLACK)
    ]


def most_system_calls(costs: dict[str, Cost]) -> dict[str, dict[str, float]]:
    """By mode: the system calls in one call of each kind, in the case that has most."""
    return {
        mode: {
            kind: max(cost.system_calls[kind] for cost in costs.values() if cost.mode == mode)
            for kind in KINDS
        }
        for mode in MOST_SYSTEM_CALLS
    }


def needless_system_calls(costs: dict[str, Cost]) -> list[str]:
    """A line for each kind of call that enters the kernel more often than it may."""
    return [
        f"{name}: {count:.2f} system calls in each {kind}, at most {most} may be"
        for name, cost in costs.items()
        for kind, most in MOST_SYSTEM_CALLS[cost.mode].items()
        if (count := cost.system_calls[kind]) > most
    ]


def _flat(counts: Counts) -> dict[str, float]:
    return {f"{name}, {kind}": n for name, kinds in counts.items() for kind, n in kinds.items()}


def _run(program: Path, protocol: int, output: Path) -> list[Record]:
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


def _cost(path: Path, record: Record) -> Cost:
    packets = record["packets"]
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
        record["mode"],
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
