# SPDX-License-Identifier: Apache-2.0
"""The tables that the benchmark prints."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress

from instructions import KINDS
from results import MARKED_SPREAD, UNDISTURBED, Results, Series
from rich.console import Console
from rich.table import Table
from runner import Record
from sections import EMPTY_CALLS

PATTERNS = {
    "1 each": "1, each received before the next",
    "1 x 256": "1, 256 sent, then received",
    "4 each": "4, each received before the next",
    "32 each": "32, each received before the next",
    "32 x 8": "32, 8 bursts sent, then received",
    "256 each": "256, each received before the next",
}
SUMMARY_PATTERNS = ("1 each", "1 x 256", "32 each", "32 x 8", "256 each")
SUMMARY_BURSTS = (1, 32, 256)
PREFERRED, OLDER = 512, 256
PARTS = ("alloc", "write", "tx", "rx", "read", "free")
PERCENTILES = ("median", "p99", "p999")

Format = Callable[[float], str]


def nanoseconds(value: float) -> str:
    """Three digits are what such a number is worth."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def millions(value: float) -> str:
    """Packets per second."""
    return f"{value / 1e6:.2f}" if value < 10e6 else f"{value / 1e6:.1f}"


def cell(series: Series | None, form: Format) -> str:
    """A median, marked when it spreads and when the machine was in use."""
    if series is None:
        return ""
    marks = ("!" if series.disturbed else "") + ("~" if series.spread > MARKED_SPREAD else "")
    return marks + form(series.median)


def ratio_cell(ratio: float | None) -> str:
    """A ratio, or nothing."""
    return "" if ratio is None else f"{ratio:.2f}"


def new_table(title: str, labels: Sequence[str], columns: Iterable[str]) -> Table:
    """A table whose first columns are labels."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for label in labels:
        table.add_column(label, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def libraries(results: Results) -> list[str]:
    """The subjects but for the bare limit."""
    return [s for s in results.subjects() if s not in ("bare", EMPTY_CALLS)]


def calls_series(results: Results, subject: str, protocol: int, *case: object) -> Series | None:
    """Ours at the protocol asked for; another library at the one it has."""
    found = results.get((protocol, *case), subject)
    if found is None and protocol == PREFERRED and not subject.startswith("ours"):
        return results.get((OLDER, *case), subject)
    return found


def calls_table(results: Results, protocol: int, mode: str, size: int, payload: str) -> Table:
    """Nanoseconds per packet; an interface has a column for each direction."""
    ends = [(subject, end) for subject in libraries(results) for end in ("master", "slave")]
    rows = {
        pattern: [
            calls_series(results, subject, protocol, mode, end, pattern, size, payload)
            for subject, end in ends
        ]
        for pattern in PATTERNS
    }
    used = [any(row[i] for row in rows.values()) for i in range(len(ends))]
    table = new_table(
        f"ns per packet, both ends in one thread: {size} bytes {payload}, {mode}, "
        f"protocol {protocol}",
        ["burst"],
        [f"{subject}\nto {end}" for subject, end in compress(ends, used)] + ["bare"],
    )
    for pattern, row in rows.items():
        bare = results.get((protocol, None, None, pattern, size, payload), "bare")
        cells = [cell(series, nanoseconds) for series in compress(row, used)]
        if any(cells):
            table.add_row(PATTERNS[pattern], *cells, cell(bare, nanoseconds))
    return table


def parts_table(records: Sequence[Record], subject: str, protocol: int) -> Table:
    """Where the time of a packet goes."""
    table = new_table(
        f"{subject}, ns per packet in each call: 64 bytes untouched, polling, to the master",
        ["burst"],
        [*PARTS, "sum"],
    )
    for pattern, text in PATTERNS.items():
        chosen = [
            record
            for record in records
            if record["subject"] == subject
            and (record["protocol"], record["pattern"]) == (protocol, pattern)
            and (record["size"], record["payload"]) == (64, "untouched")
            and (record.get("mode"), record.get("to")) == ("polling", "master")
        ]
        if chosen:
            parts = [statistics.median(r["parts"][part] for r in chosen) for part in PARTS]
            whole = statistics.median(record["ns"] for record in chosen)
            table.add_row(text, *map(nanoseconds, [*parts, whole]))
    return table


def with_ratio(series: Series | None, ratio: float | None, form: Format) -> str:
    """A median, and in brackets what it is of the base."""
    return cell(series, form) + ("" if ratio is None else f" ({ratio:.2f})")


def calls_summary(results: Results) -> Table:
    """The sum of the four calls, for small packets: all that a look at them needs."""
    table = new_table(
        "summary: ns per packet for alloc + tx + rx + free, 64 bytes untouched, polling\n"
        "(in brackets: times the bare limit)",
        ["", "protocol"],
        SUMMARY_PATTERNS,
    )
    for protocol in (PREFERRED, OLDER):
        for subject in libraries(results):
            for end in ("master", "slave"):
                cases = [
                    (protocol, "polling", end, pattern, 64, "untouched")
                    for pattern in SUMMARY_PATTERNS
                ]
                row = [
                    with_ratio(
                        results.get(case, subject),
                        results.ratio(case, subject, "bare"),
                        nanoseconds,
                    )
                    for case in cases
                ]
                if any(row):
                    table.add_row(f"{subject}, to the {end}", str(protocol), *row)
        for name, mode, end in (("bare", None, None), (EMPTY_CALLS, "polling", "master")):
            base = [
                results.get((protocol, mode, end, pattern, 64, "untouched"), name)
                for pattern in SUMMARY_PATTERNS
            ]
            table.add_row(name, str(protocol), *(cell(series, nanoseconds) for series in base))
    return table


def throughput_summary(results: Results) -> Table:
    """Small packets over one ring, one way."""
    cases = [(1, "one way", 64, burst, "head") for burst in SUMMARY_BURSTS]
    table = new_table(
        "summary: millions of packets per second, two processes, one way, 1 ring, 64 bytes\n"
        "(in brackets: of the bare limit)",
        [""],
        [f"burst {burst}" for burst in SUMMARY_BURSTS],
    )
    for subject in [*libraries(results), "bare"]:
        base = None if subject == "bare" else "bare"
        table.add_row(
            subject,
            *(
                with_ratio(
                    results.get(case, subject),
                    base and results.ratio(case, subject, base),
                    millions,
                )
                for case in cases
            ),
        )
    return table


def instructions_table(counts: dict[str, dict[str, float]], mode: str) -> Table:
    """Instructions per packet, by burst; what each call takes is in the JSON file."""
    table = new_table(
        f"instructions per packet for alloc + tx + rx + free, 64 bytes untouched, {mode}",
        ["", "protocol"],
        PATTERNS,
    )
    for interface in ("1.0", "4.0"):
        for protocol in (PREFERRED, OLDER):
            for end in ("master", "slave"):
                case = f"{interface}, protocol {protocol}, to the {end}"
                cells = (f"{counts[f'{case}, {name}, {mode}']['sum']:.0f}" for name in PATTERNS)
                table.add_row(f"ours {interface}, to the {end}", str(protocol), *cells)
    return table


def system_calls_table(most: dict[str, dict[str, float]]) -> Table:
    """The most that any case had."""
    table = new_table("system calls in each burst, at most", ["receiver"], KINDS)
    for mode, by_kind in most.items():
        table.add_row(mode, *(f"{by_kind[kind]:g}" for kind in KINDS))
    return table


def throughput_table(results: Results, rings: int, way: str) -> Table:
    """Millions of packets per second, and the ratio to the bare limit."""
    subjects = libraries(results)
    columns = [name for subject in subjects for name in (subject, "of bare")]
    table = new_table(
        f"millions of packets per second, two processes, {way}, {_rings(rings)}",
        ["bytes", "burst", "payload"],
        [*columns, "bare"],
    )
    for case in results.cases():
        if case[:2] != (rings, way):
            continue
        row = []
        for subject in subjects:
            row.append(cell(results.get(case, subject), millions))
            row.append(ratio_cell(results.ratio(case, subject, "bare")))
        table.add_row(*map(str, case[2:]), *row, cell(results.get(case, "bare"), millions))
    return table


def latency_table(results: Results, records: Sequence[Record], mode: str) -> Table:
    """Percentiles of the round trip."""
    table = new_table(
        f"round trip of one packet of 64 bytes, ns, {mode}",
        [""],
        ["median", "99 %", "99.9 %", "median of bare"],
    )
    for subject in results.subjects():
        percentiles = [
            Results([r for r in records if r["mode"] == mode], ("mode", "size"), name)
            for name in PERCENTILES
        ]
        row = [cell(found.get((mode, 64), subject), nanoseconds) for found in percentiles]
        table.add_row(subject, *row, ratio_cell(results.ratio((mode, 64), subject, "bare")))
    return table


def testpmd_table(results: Results) -> Table:
    """Millions of packets per second with testpmd, and the ratio to what it reaches with itself."""
    subjects = [subject for subject in results.subjects() if subject != "testpmd"]
    columns = [name for subject in subjects for name in (subject, "of testpmd")]
    table = new_table(
        "millions of packets per second, 64 bytes, with testpmd",
        ["way", "burst"],
        [*columns, "testpmd"],
    )
    for case in sorted(results.cases(), key=lambda case: (case[0] == "there and back", case)):
        row = []
        for subject in subjects:
            row.append(cell(results.get(case, subject), millions))
            row.append(ratio_cell(results.ratio(case, subject, "testpmd")))
        table.add_row(*map(str, case), *row, cell(results.get(case, "testpmd"), millions))
    return table


def responder_table(results: Results) -> Table:
    """Answers per second to a flood of pings, and the ratio to a plain echo."""
    subjects = [subject for subject in results.subjects() if subject != "echo"]
    columns = [name for subject in subjects for name in (subject, "of echo")]
    table = new_table(
        "responder: echo of a flood, millions of packets per second",
        ["program", "as", "bytes", "burst"],
        [*columns, "plain echo"],
    )
    for case in results.cases():
        row = []
        for subject in subjects:
            row.append(cell(results.get(case, subject), millions))
            row.append(ratio_cell(results.ratio(case, subject, "echo")))
        table.add_row(*map(str, case), *row, cell(results.get(case, "echo"), millions))
    return table


def origins_table(origins: Sequence[Mapping[str, str]]) -> Table:
    """What was measured. A library that is not ours has the hash of its file."""
    table = new_table("libraries measured", ["library"], ["commit or SHA-256", "date"])
    for origin in origins:
        table.add_row(origin["library"], origin["commit"], origin["date"])
    return table


def python_table(results: Results) -> Table:
    """Packets per second from Python to Python."""
    table = new_table("Python, millions of packets per second", ["form", "bytes"], ["one way"])
    for case in results.cases():
        table.add_row(*map(str, case), cell(results.get(case, "Python"), millions))
    return table


def print_all(
    results: dict[str, Results],
    records: dict[str, list[Record]],
    texts: dict[str, object],
    notes: Sequence[str],
    origins: Sequence[Mapping[str, str]],
) -> None:
    """Everything that was measured."""
    console = Console(width=None if Console().is_terminal else 200)
    for table in _tables(results, records):
        if table.row_count:
            console.print(table)
    if "instructions" in texts:
        for mode in texts["system calls"]:
            console.print(instructions_table(texts["instructions"], mode))
        console.print(system_calls_table(texts["system calls"]))
    if texts.get("control"):
        console.print("start-up, memory and connections", style="bold")
        console.print(texts["control"], highlight=False)
    for table in _summaries(results):
        console.print(table)
    console.print(origins_table(origins))
    console.print(f"~ the distance between the quartiles is over {MARKED_SPREAD:.0%} of the median")
    console.print(
        f"! a thread had less than {UNDISTURBED:.0%} of its processor in too many rounds to leave "
        "them out"
    )
    for section, found in results.items():
        if found.distances:
            console.print(
                f"{section}: the processors were {found.nearest:.0f} ns apart (round trip of a "
                f"cache line) in {found.near_share():.0%} of the measurements, farther otherwise"
            )
    for note in notes:
        console.print(f"note: {note}", style="yellow", markup=False)


def _tables(results: dict[str, Results], records: dict[str, list[Record]]) -> Iterable[Table]:
    if "calls" in results:
        yield from _calls_tables(results["calls"], records["calls"])
    if "throughput" in results:
        found = results["throughput"]
        for rings, way in dict.fromkeys(case[:2] for case in found.cases()):
            yield throughput_table(found, rings, way)
    if "latency" in results:
        for mode in dict.fromkeys(case[0] for case in results["latency"].cases()):
            yield latency_table(results["latency"], records["latency"], mode)
    if "responder" in results:
        yield responder_table(results["responder"])
    if "testpmd" in results:
        yield testpmd_table(results["testpmd"])
    if "python" in results:
        yield python_table(results["python"])


def _summaries(results: dict[str, Results]) -> Iterable[Table]:
    if "calls" in results:
        yield calls_summary(results["calls"])
    if "throughput" in results:
        yield throughput_summary(results["throughput"])


def _calls_tables(results: Results, records: Sequence[Record]) -> Iterable[Table]:
    for protocol in (PREFERRED, OLDER):
        for size in (64, 1500):
            for payload in ("untouched", "copied"):
                yield calls_table(results, protocol, "polling", size, payload)
        yield calls_table(results, protocol, "interrupt", 64, "untouched")
    for subject in libraries(results):
        if subject.startswith("ours"):
            yield parts_table(records, subject, PREFERRED)


def _rings(count: int) -> str:
    return "1 ring" if count == 1 else f"{count} rings"
