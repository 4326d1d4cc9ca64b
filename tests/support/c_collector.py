# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: the tests of `c_tests/*/test_*.c` as pytest items, one for each Check test.

The programs are not built here. `c_tests/v1/test_x.c` is looked for as `c_tests/v1/test_x` in each
build directory; a program lists its tests with `--list` and runs one of them with CK_RUN_CASE (see
c_tests/support/harness.h). Every item is a process of its own, without Check's fork mode: an
interpreter that the program embeds must not be forked, and a crash is that test's failure and no
other's.
"""

import os
import select
import signal
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECK_XML = {"check": "http://check.sourceforge.net/ns"}
LIST_TIMEOUT = 30.0
# Those that are about threads, and run in c_thread_build_dirs too.
THREADS = (
    "core/test_foreign",
    "core/test_teardown",
    "v1/test_threads",
    "v1/test_threads_at_the_end",
    "v4/test_threads",
)

SANITIZER_OPTIONS = {
    # An embedded interpreter never frees all it has.
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
}


class CTestFailure(Exception):
    """What went wrong, as it is shown to the reader."""


@dataclass(frozen=True)
class BuildDirectory:
    path: Path
    label: str

    @classmethod
    def parse(cls, argument: str, base: Path) -> "BuildDirectory":
        label, equals, path = argument.rpartition("=")
        if equals and not label:
            raise pytest.UsageError(f"build directory {argument!r}: nothing before the =")
        return cls(base / path, label)

    def item_name(self, name: str) -> str:
        return f"{name}[{self.label}]" if self.label else name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--c-build-dir",
        action="append",
        metavar="[LABEL=]DIR",
        help="build directory with C tests, instead of those of c_build_dirs; may be repeated",
    )
    parser.addini("c_build_dirs", "build directories with C tests, [LABEL=]DIR", "linelist", [])
    parser.addini("c_thread_build_dirs", "the same, for tests of threads alone", "linelist", [])
    parser.addini("c_test_timeout", "seconds that one C test may take", default="60")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "CTestFile | None":
    named_as_test = file_path.suffix == ".c" and file_path.name.startswith("test_")
    if named_as_test and file_path.is_relative_to(parent.config.rootpath / "c_tests"):
        return CTestFile.from_parent(parent, path=file_path)
    return None


def build_directories(config: pytest.Config, program: str = "") -> list[BuildDirectory]:
    """Those of a program, or of all."""
    given = config.getoption("--c-build-dir")
    if given:
        return [BuildDirectory.parse(argument, config.invocation_params.dir) for argument in given]
    arguments = config.getini("c_build_dirs") or ["build"]
    if program in THREADS:
        arguments = [*arguments, *config.getini("c_thread_build_dirs")]
    return [BuildDirectory.parse(argument, config.rootpath) for argument in arguments]


class CTestFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        place = self.path.relative_to(self.config.rootpath / "c_tests").with_suffix("")
        for build in build_directories(self.config, str(place)):
            program = build.path / "c_tests" / place
            try:
                names = list_tests(program, build)
            except CTestFailure as failure:
                name = build.item_name("cannot_be_listed")
                yield UnlistedTests.from_parent(self, name=name, failure=failure)
                continue
            for name in names:
                yield CTest.from_parent(
                    self, name=build.item_name(name), case=name, program=program, build=build
                )


class CItem(pytest.Item):
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style=None):
        if isinstance(excinfo.value, CTestFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class UnlistedTests(CItem):
    """Stands for tests that nobody can name: they fail, as they cannot be run."""

    def __init__(self, *, failure: CTestFailure, **rest):
        super().__init__(**rest)
        self.failure = failure

    def runtest(self) -> None:
        raise self.failure


class CTest(CItem):
    def __init__(self, *, case: str, program: Path, build: BuildDirectory, **rest):
        super().__init__(**rest)
        self.case = case
        self.program = program
        self.build = build

    def runtest(self) -> None:
        timeout = float(self.config.getini("c_test_timeout"))
        with tempfile.TemporaryDirectory(prefix="c_test") as folder:
            log = Path(folder) / "check.xml"
            environment = environment_of(self.case, log)
            status, output = run_program([self.program], timeout, Path(folder), environment)
            if output:
                self.add_report_section("call", "output", output)
            outcomes = read_log(log, self.build.path)
        judge(self.case, timeout, status, outcomes)


def list_tests(program: Path, build: BuildDirectory) -> list[str]:
    if not program.exists():
        raise CTestFailure(
            f"{program} does not exist: build it with `meson compile -C {build.path}` "
            "(option tests=true), or build everything with `./bootstrap test`"
        )
    with tempfile.TemporaryDirectory(prefix="c_test") as folder:
        environment = {**os.environ, **SANITIZER_OPTIONS}
        status, output = run_program([program, "--list"], LIST_TIMEOUT, Path(folder), environment)
    if status != 0:
        raise CTestFailure(f"{program} --list: {describe(status, LIST_TIMEOUT)}\n{output}")
    names = output.split()
    if not names:
        raise CTestFailure(f"{program} holds no test")
    return names


def environment_of(case: str, log: Path) -> dict[str, str]:
    own = {
        "CK_FORK": "no",
        "CK_RUN_CASE": case,
        "CK_XML_LOG_FILE_NAME": str(log),
        "TMPDIR": str(log.parent),
    }
    return {**os.environ, **SANITIZER_OPTIONS, **own}


def run_program(
    command: list[Path | str], timeout: float, folder: Path, environment: dict[str, str]
) -> tuple[int | None, str]:
    """Run to the end or the timeout; the exit status (None for a timeout) and the output."""
    with (folder / "output").open("w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        in_time = False
        try:
            in_time = wait_for_end(process, timeout)
        finally:
            # Whatever the program started ends with it. Until wait() the process is a zombie, so
            # its group cannot be anybody else's.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    return (process.returncode if in_time else None), text


def wait_for_end(process: subprocess.Popen, timeout: float) -> bool:
    pidfd = os.pidfd_open(process.pid)
    try:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        return bool(poller.poll(timeout * 1000))
    finally:
        os.close(pidfd)


@dataclass(frozen=True)
class Outcome:
    """One run of a test, as Check logged it."""

    passed: bool
    location: str
    iteration: int
    message: str

    def __str__(self) -> str:
        return f"{self.location}: iteration {self.iteration}: {self.message}"


def read_log(log: Path, build_directory: Path) -> list[Outcome]:
    try:
        root = ET.parse(log).getroot()  # noqa: S314 - written by our own program
    except (FileNotFoundError, ET.ParseError):
        # A program that crashed did not get to write its log, or not all of it.
        return []
    return [
        read_outcome(test, build_directory) for test in root.iterfind(".//check:test", CHECK_XML)
    ]


def read_outcome(test: ET.Element, build_directory: Path) -> Outcome:
    def text(field: str) -> str:
        return test.findtext(f"check:{field}", "", CHECK_XML).strip()

    file_name, _, line = text("fn").rpartition(":")
    # The compiler was given a path as seen from the build directory; meson.build has it noted as
    # seen from the source directory where the compiler can.
    given = Path(text("path"), file_name)
    from_build = Path(os.path.normpath(build_directory / given))
    source = from_build if from_build.exists() else given
    return Outcome(
        passed=test.get("result") == "success",
        location=f"{os.path.relpath(source)}:{line}",
        iteration=int(text("iteration")),
        message=text("message"),
    )


def judge(case: str, timeout: float, status: int | None, outcomes: list[Outcome]) -> None:
    failed = [str(outcome) for outcome in outcomes if not outcome.passed]
    if failed:
        raise CTestFailure("\n".join(failed))
    if status != 0:
        raise CTestFailure(f"{case}: {describe(status, timeout)}")
    # Check has no objection to a name that it does not know.
    if not outcomes:
        raise CTestFailure(f"{case}: no test ran")


def describe(status: int | None, timeout: float) -> str:
    if status is None:
        return f"killed after {timeout:g} s without an end"
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}"
