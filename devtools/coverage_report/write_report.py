# SPDX-License-Identifier: Apache-2.0
"""Joins what the processes of ./bootstrap coverage left behind: one table, and pages.

    python write_report.py SOURCES BUILD DATA REPORT

SOURCES is the measured checkout, BUILD its build folder, DATA the folder of coverage.py's files,
and REPORT the folder for the pages.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "libmemif_py"
# Written by the build, or run by it.
NOT_OURS = ("*/_install.py", "*/_pcap.py", f"{PACKAGE}/native/buildtools/*")


@dataclass(frozen=True, order=True)
class Covered:
    """What of a file was run."""

    file: str
    lines: int
    lines_run: int
    branches: int
    branches_run: int


def table(files: Sequence[Covered]) -> Iterator[str]:
    """Return the lines of a table, with a sum for each language at the end."""
    width = max(len(file.file) for file in files)
    yield f"{'file':{width}} {'lines':>7} {'run':>7} {'branches':>9} {'run':>7} {'of all':>8}"
    sums = (("C", (".c", ".h")), ("Python", (".py",)))
    totals = [total(name, (f for f in files if f.file.endswith(ends))) for name, ends in sums]
    for file in [*sorted(files), *totals]:
        part = f"{file.branches_run / file.branches:8.1%}" if file.branches else f"{'-':>8}"
        yield (
            f"{file.file:{width}} {file.lines:7} {file.lines_run:7} {file.branches:9} "
            f"{file.branches_run:7} {part}"
        )


def total(name: str, files: Iterable[Covered]) -> Covered:
    """Return the sum."""
    sums = [0, 0, 0, 0]
    for file in files:
        numbers = (file.lines, file.lines_run, file.branches, file.branches_run)
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
    return Covered(name, *sums)


def of_gcovr(summary: dict[str, Any]) -> Iterator[Covered]:
    """Return what gcovr's summary says of each file."""
    for file in summary["files"]:
        yield Covered(
            file["filename"],
            file["line_total"],
            file["line_covered"],
            file["branch_total"],
            file["branch_covered"],
        )


def of_coverage(report: dict[str, Any]) -> Iterator[Covered]:
    """Return what coverage.py's report says of each file that has statements."""
    for name, file in report["files"].items():
        counts = file["summary"]
        if counts["num_statements"]:
            yield Covered(
                name,
                counts["num_statements"],
                counts["covered_lines"],
                counts["num_branches"],
                counts["covered_branches"],
            )


def report_c(sources: Path, build: Path, pages: Path) -> list[Covered]:
    """Have gcovr write pages."""
    pages.mkdir(parents=True)
    summary = pages.parent / "c.json"
    command: list[str | Path] = [
        *(sys.executable, "-m", "gcovr", "--root", sources, "--object-directory", build, build),
        *("--filter", f"{sources}/{PACKAGE}/native/", "--exclude-throw-branches"),
        # A function of a header is compiled into several programs, at -O1 not always at one place.
        *("--merge-mode-functions", "merge-use-line-min", "--gcov-ignore-parse-errors=all"),
        *("--json-summary", summary, "--html-details", pages / "index.html"),
    ]
    subprocess.run(command, check=True)
    return list(of_gcovr(json.loads(summary.read_text())))


def report_python(sources: Path, build: Path, data: Path, report: Path) -> list[Covered]:
    """Join the files of the processes, and have coverage.py write pages."""
    import coverage

    installed = next((sources / ".venv").glob(f"lib/python*/site-packages/{PACKAGE}"))
    settings = data / "report.ini"
    settings.write_text(
        f"[run]\nbranch = true\ndata_file = {data / 'all'}\nrelative_files = true\n"
        f"[paths]\nsources =\n    {PACKAGE}\n    {installed}\n    {build / PACKAGE}\n"
        f"[report]\nomit = {','.join(NOT_OURS)}\n"
        "exclude_also =\n    if TYPE_CHECKING:\n    @overload\n"
    )
    measured = coverage.Coverage(config_file=str(settings))
    measured.combine([str(file) for file in (data / "process").iterdir()], keep=True)
    # Those that no test imports count too.
    modules = [str(path.relative_to(sources)) for path in (sources / PACKAGE).rglob("*.py")]
    measured.get_data().touch_files(modules)
    measured.save()
    measured.json_report(outfile=str(report / "python.json"))
    measured.html_report(directory=str(report / "python"))
    return list(of_coverage(json.loads((report / "python.json").read_text())))


def main(sources: Path, build: Path, data: Path, report: Path) -> None:
    """Write the pages, and print the table."""
    files = report_c(sources, build, report / "c")
    files += report_python(sources, build, data, report)
    lines = list(table(files))
    (report / "table.txt").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
