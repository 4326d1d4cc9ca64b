# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: `--outcomes FILE` appends what became of each test, for ./bootstrap test.

A line is a JSON object: "test", "phase", "outcome" (passed, failed, skipped), "seconds" and, of one
that is skipped, "reason".
"""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--outcomes", type=Path, metavar="FILE", help="append outcomes to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Write, unless we are a worker of xdist: the process that started it hears all of them."""
    file = config.getoption("outcomes")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(file))


class Outcomes:
    """Takes the reports of a run."""

    def __init__(self, file: Path) -> None:
        """Prepare; every report is written at once, so that a crash of pytest loses none."""
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of a test."""
        self._write(
            report.nodeid, str(report.when), report.outcome, report.duration, _reason(report)
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that was collected, or not."""
        if report.failed:
            self._write(report.nodeid, "collect", "failed", 0.0, "")

    def _write(self, test: str, phase: str, outcome: str, seconds: float, reason: str) -> None:
        line = {"test": test, "phase": phase, "outcome": outcome, "seconds": round(seconds, 3)}
        if reason:
            line["reason"] = reason
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _reason(report: pytest.TestReport) -> str:
    """Why it is skipped: pytest has the file, the line, and the text after a word of its own."""
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return ""
    return report.longrepr[2].removeprefix("Skipped: ")
