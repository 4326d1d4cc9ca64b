# SPDX-License-Identifier: Apache-2.0
"""Programs that tests talk to: lines in, lines out, an end within a time."""

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Self

from support.c_collector import SANITIZER_OPTIONS

TIMEOUT = 60.0
OTHER_ROLE = {"master": "slave", "slave": "master"}


def c_program(build: Path, name: str, api: str) -> Path:
    """A program of c_tests/peers/ by one of the C APIs, "v1" or "v4"."""
    return build / "c_tests" / "peers" / f"{name}_{api}"


def wait_until_listening(path: str) -> None:
    """There is no event to wait for: knock until somebody opens."""
    address = "\0" + path[1:] if path.startswith("@") else path
    end = time.monotonic() + TIMEOUT
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
            try:
                knocking.connect(address)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() >= end:
                    raise
        time.sleep(0.01)


class Program:
    """One process, from its start to its end."""

    def __init__(
        self,
        command: Sequence[str | Path],
        errors: Path,
        environment: dict[str, str] | None = None,
        stdin: int | IO = subprocess.PIPE,
        user: int | None = None,
        pass_fds: Sequence[int] = (),
    ):
        """`errors` is a file for its stderr; `user` an id, to be had by root only."""
        identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self._errors = errors
        self._unread = b""
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=stdin,
                start_new_session=True,
                pass_fds=pass_fds,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **SANITIZER_OPTIONS, **(environment or {})},
                **identity,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.end_input()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def errors(self) -> str:
        """All of stderr so far."""
        return self._errors.read_text()

    def write(self, text: str) -> None:
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def end_input(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def line(self) -> str:
        """The next line of stdout."""
        end = time.monotonic() + TIMEOUT
        while b"\n" not in self._unread:
            left = max(0.0, end - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise AssertionError(f"no line within {TIMEOUT} s, {self._last_words()}")
            data = os.read(self._process.stdout.fileno(), 4096)
            if not data:
                raise AssertionError(f"ended early, {self._last_words()}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def lines_until(self, last: str) -> list[str]:
        """Lines of stdout, up to the first that is `last` but for blanks around it."""
        lines = [self.line()]
        while lines[-1].strip() != last:
            lines.append(self.line())
        return lines

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """In the block none of its threads runs."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # kill does not wait for them
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Its exit status, after it has ended by itself."""
        return self._process.wait(timeout)

    def rest(self) -> str:
        """What is left of stdout, after its end."""
        return (self._unread + self._process.stdout.read()).decode()

    def descriptors(self) -> list[str]:
        """What its open file descriptors are."""
        folder = Path(f"/proc/{self._process.pid}/fd")
        return sorted(os.readlink(fd) for fd in folder.iterdir())

    def left_processes_behind(self) -> bool:
        """After its end: whether something that it started goes on."""
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def wait_until_it_catches(self, number: signal.Signals) -> None:
        """There is no event to wait for."""
        status = Path(f"/proc/{self._process.pid}/status")
        end = time.monotonic() + TIMEOUT
        while not int(status.read_text().partition("SigCgt:")[2].split()[0], 16) >> number - 1 & 1:
            assert time.monotonic() < end
            time.sleep(0.01)

    def _last_words(self) -> str:
        self.end_input()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        status = self._process.poll()
        said = self._unread if status is None else self._unread + self._process.stdout.read()
        return f"status {status}, stdout {said!r}, stderr {self.errors!r}"


def end_by_signal(program: Program) -> None:
    """End it by Ctrl+C; it must have nothing to complain of."""
    program.send_signal(signal.SIGINT)
    assert (program.wait(), program.errors) == (0, "")


class Side(Program):
    """One traffic program."""

    def __enter__(self) -> Self:
        """Wait until the interface is there: a master listens."""
        try:
            assert self.line() == "ready"
        except BaseException:
            self.__exit__()
            raise
        return self

    def result(self) -> dict:
        return json.loads(self.line())

    def end(self) -> None:
        """End it in peace; it must have nothing to complain of."""
        self.end_input()
        assert (self.wait(), self.errors) == (0, "")

    def fault(self) -> str:
        """What it complains of."""
        result = self.result()
        assert result["faults"] > 0
        assert self.wait() == 1
        return result["fault"]


class Launcher:
    """Starts programs on one socket, with their files in a folder."""

    def __init__(self, folder: Path, build: Path):
        self.folder = folder
        self.socket = str(folder / "memif.sock")
        self._examples = build / "examples"
        self._traffic = {
            "v1": [c_program(build, "traffic", "v1")],
            "v4": [c_program(build, "traffic", "v4")],
            "python": [sys.executable, Path(__file__).parent / "traffic.py"],
        }
        self._numbers = itertools.count()

    def traffic(
        self, language: str, role: str, *arguments: str | int, version: int | None = None
    ) -> Side:
        command = [*self._traffic[language], "-s", self.socket, "-r", role, *map(str, arguments)]
        environment = {"LIBMEMIF_PROTOCOL": str(version)} if version else {}
        return Side(command, self._errors(), environment)

    def example(
        self,
        name: str,
        *arguments: str | int,
        path: str | None = None,
        stdin: int | IO = subprocess.PIPE,
    ) -> Program:
        command = [self._examples / name, "-s", path or self.socket, *map(str, arguments)]
        return Program(command, self._errors(), stdin=stdin)

    def _errors(self) -> Path:
        return self.folder / f"errors{next(self._numbers)}"

    @contextlib.contextmanager
    def responder(
        self, name: str, role: str, index: int = 0, path: str | None = None
    ) -> Iterator[Program]:
        """One of the ICMP responders with one interface. It ends by Ctrl+C, in peace."""
        is_master = role == "master"
        own_option = ["-m"] if is_master else []
        arguments = [] if name == "icmp_responder" else ["-i", index, *own_option]
        with self.example(name, *arguments, path=path) as program:
            if name == "icmp_responder":
                program.write(f"conn {index} {int(is_master)}\n")
            if is_master:
                wait_until_listening(path or self.socket)
            yield program
            end_by_signal(program)

    def program(self, name: str, *arguments: str | int, version: int | None = None) -> Program:
        """One of the examples, with all its arguments."""
        environment = {"LIBMEMIF_PROTOCOL": str(version)} if version else {}
        command = [self._examples / name, *map(str, arguments)]
        return Program(command, self._errors(), environment)

    @contextlib.contextmanager
    def responder_v4(
        self,
        role: str,
        *arguments: str | int,
        index: int = 0,
        path: str | None = None,
        version: int | None = None,
    ) -> Iterator[Program]:
        path = path or self.socket
        arguments = ("-s", path, "-i", index, *(["-m"] if role == "master" else []), *arguments)
        with self.program("icmp_responder4", *arguments, version=version) as program:
            if role == "master":
                wait_until_listening(path)
            yield program
            end_by_signal(program)

    @property
    def sides(self) -> tuple[str, str]:
        """The sockets of a bridge."""
        return f"{self.socket}.a", f"{self.socket}.b"

    @contextlib.contextmanager
    def bridge(
        self,
        a: tuple[str, str],
        b: tuple[str, str],
        *arguments: str | int,
        version: int | None = None,
    ) -> Iterator[Program]:
        """Between a socket in a role, with id 0, and another with id 1."""
        sides = ("-a", f"{a[0]},{a[1]},0", "-b", f"{b[0]},{b[1]},1")
        with self.program("bridge4", *sides, *arguments, version=version) as program:
            for path, role in (a, b):
                if role == "master":
                    wait_until_listening(path)
            yield program
            end_by_signal(program)
