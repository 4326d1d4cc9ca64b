# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmark programs and reads what they print: one JSON object a line."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

Record = dict
"""A line that a program printed, with what the harness knows about its run."""

TIMEOUT = 120.0
PROBE_SAMPLES = 2000
SONAMES = {"v1": "libmemif.so.0", "v4": "libmemif.so"}


class ProgramError(Exception):
    """A program failed; the text is what it said."""


@dataclass(frozen=True)
class Library:
    """What is put under the programs: ours, or another one that is found in `directory`."""

    name: str
    directory: Path | None = None
    apis: tuple[str, ...] = ("v1", "v4")
    protocols: tuple[int, ...] = (256, 512)

    def environment(self, protocol: int | None = None) -> dict[str, str]:
        """The environment in which programs load this library."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "LIBMEMIF_"))}
        if self.directory is not None:
            kept["LD_LIBRARY_PATH"] = str(self.directory)
        elif protocol is not None:
            kept["LIBMEMIF_PROTOCOL"] = str(protocol)
        # What is resolved at the first call would be counted with it.
        return kept | {"LD_BIND_NOW": "1"}

    def protocols_of(self, api: str) -> tuple[int, ...]:
        """The protocol versions to measure; another library has one for each API."""
        if self.directory is None:
            return self.protocols
        return (256,) if api == "v1" else (512,)


@dataclass(frozen=True)
class Bench:
    """Where the programs are and how they are to run."""

    build: Path
    cpus: tuple[int, int] = (0, 1)
    realtime: bool = False

    def program(self, name: str) -> Path:
        """The path of a built program."""
        return self._built("bench", name)

    def example(self, name: str) -> Path:
        """The path of a built program of examples/."""
        return self._built("examples", name)

    def _built(self, folder: str, name: str) -> Path:
        path = self.build / folder / name
        if not path.exists():
            raise ProgramError(f"{path} is not built: configure with -Dbench=true")
        return path

    def run(
        self,
        name: str,
        *arguments: object,
        library: Library | None = None,
        protocol: int | None = None,
    ) -> list[Record]:
        """Run one program to its end."""
        process = self._start(name, arguments, library, protocol)
        return self._finish([process])

    def run_pair(
        self,
        name: str,
        answering: Sequence[object],
        leading: Sequence[object],
        library: Library | None = None,
        protocol: int | None = None,
    ) -> list[Record]:
        """Run the two ends of a link: the master on the first processor, the slave on the second.

        `answering` are the arguments of the master, which has to listen before the slave looks.
        """
        with socket_path() as path:
            common = ["--socket", path]
            master = ["--master", "--cpu", self.cpus[0], *common, *answering]
            slave = ["--cpu", self.cpus[1], *common, *leading]
            first = self._start(name, master, library, protocol)
            try:
                _wait_for_socket(path, first)
                second = self._start(name, slave, library, protocol)
            except BaseException:
                _stop(first)
                raise
            return self._finish([second, first])

    def run_flood(
        self,
        name: str,
        arguments: Sequence[object],
        responder: str,
        role: str,
        library: Library | None = None,
    ) -> list[Record]:
        """Run a program on the first processor, against a responder of examples/ on the second."""
        with socket_path() as path, ExitStack() as stack:

            def start(*command: object) -> subprocess.Popen:
                process = self._launch(command, library)
                stack.callback(_stop, process)
                return process

            flood = [self.program(name), "--cpu", self.cpus[0], "--socket", path, *arguments]
            answer = ["taskset", "-c", self.cpus[1], self.example(responder), "-s", path]
            if role == "master":
                answering = start(*answer, "-m")
                _wait_for_socket(path, answering)
                flooding = start(*flood)
            else:
                flooding = start(*flood, "--master")
                _wait_for_socket(path, flooding)
                answering = start(*answer)
            records = self._finish([flooding])
            answering.terminate()
            _output_of(answering)
            return records

    @contextmanager
    def holding(
        self, name: str, socket: Path, arguments: Sequence[object], library: Library
    ) -> Iterator["Holding"]:
        """Run one end on the second processor; it stays connected to the other end until exit."""
        every = ["--hold", "--cpu", self.cpus[1], "--socket", socket, *arguments]
        process = self._start(name, every, library, None, stdin=subprocess.PIPE)
        end = Holding(process)
        try:
            yield end
            self._finish([process])
        finally:
            _stop(process)

    def placed(self, run: Callable[[], list[Record]]) -> list[Record]:
        """What `run` measures between two processors, labelled with how far apart they are."""
        before = self.distance()
        records = run()
        return with_labels(records, {"distance": max(before, self.distance())})

    def distance(self) -> float:
        """Nanoseconds that a cache line takes to the other processor and back.

        The host of a virtual machine moves its processors about: now they share a cache, now not.
        """
        cpus = ("--cpu", self.cpus[0], "--cpu2", self.cpus[1])
        (record,) = self.run("bare", "--what", "latency", "--samples", PROBE_SAMPLES, *cpus)
        return record["median"]

    def prefix(self) -> list[str]:
        """What goes before the command of a measuring process."""
        return ["chrt", "--fifo", "1"] if self.realtime else []

    def _start(
        self,
        name: str,
        arguments: Sequence[object],
        library: Library | None,
        protocol: int | None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen:
        return self._launch([self.program(name), *arguments], library, protocol, stdin)

    def _launch(
        self,
        command: Sequence[object],
        library: Library | None,
        protocol: int | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen:
        return subprocess.Popen(
            [*self.prefix(), *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=stdin,
            text=True,
            env=(library or Library("ours")).environment(protocol),
        )

    def _finish(self, processes: Sequence[subprocess.Popen]) -> list[Record]:
        records = []
        try:
            for process in processes:
                records += read_records(_output_of(process))
        finally:
            for process in processes:
                _stop(process)
        return records


@dataclass(frozen=True)
class Holding:
    """A program that has to be released when its results are read."""

    process: subprocess.Popen

    def records(self) -> list[Record]:
        """Wait for the results."""
        if self.process.stdout is None:
            raise ProgramError("the program has no output to read")
        return read_records(self.process.stdout.read())


def read_records(output: str) -> list[Record]:
    """The JSON lines of a program."""
    return [json.loads(line) for line in output.splitlines()]


@contextmanager
def socket_path() -> Iterator[Path]:
    """A path for a socket in a new folder."""
    with tempfile.TemporaryDirectory(prefix="memif-bench-") as folder:
        yield Path(folder) / "memif.sock"


def find_other(bench: Bench, argument: str) -> Library:
    """Another library, from [NAME=]DIR: which C APIs it has."""
    name, equals, path = argument.rpartition("=")
    directory = Path(path)
    found = [g for g, soname in SONAMES.items() if _works(bench, directory, g, soname)]
    if not found:
        raise ProgramError(
            f"{directory} has no library that works with the programs: expected libmemif.so.0 "
            "(1.0) or libmemif.so (4.0) there"
        )
    return Library(name if equals else directory.resolve().name, directory.resolve(), tuple(found))


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def has(program: str) -> bool:
    """Whether a program is installed."""
    return shutil.which(program) is not None


def with_labels(records: Sequence[Record], labels: Mapping[str, object]) -> list[Record]:
    """The records, each with more members."""
    return [{**record, **labels} for record in records]


def _works(bench: Bench, directory: Path, api: str, soname: str) -> bool:
    if not (directory / soname).exists():
        return False
    library = Library("other", directory.resolve())
    try:
        bench.run(f"calls_{api}", "--rounds", 0, library=library)
    except ProgramError:
        return False
    return True


def _wait_for_socket(path: Path, process: subprocess.Popen) -> None:
    # There is no event for "it listens"; a slave that comes too early waits for its timer.
    while not path.exists() and process.poll() is None:
        os.sched_yield()


def _output_of(process: subprocess.Popen) -> str:
    try:
        output, complaint = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired as timeout:
        raise ProgramError(f"no end within {TIMEOUT} s: {timeout.cmd}") from None
    if process.returncode != 0:
        raise ProgramError(_describe(process, complaint))
    return output


def _describe(process: subprocess.Popen, complaint: str) -> str:
    command = " ".join(map(str, process.args))
    return f"status {process.returncode} of {command}: {complaint.strip()}"


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
