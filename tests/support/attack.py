# SPDX-License-Identifier: Apache-2.0
"""A target, its good connection, and what must be as before after each attack."""

import collections
import contextlib
import itertools
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest

from libmemif_py import Interface, MemifError
from support.c_collector import build_directories
from support.programs import Program, c_program
from support.raw_peer import TIMEOUT, Listening, Master, Slave

# By both C APIs, as built and under the address sanitizer, and in Python.
TARGETS = ["v1", "v4", "python", "v1-asan", "v4-asan"]
SOMEBODY = 12345  # an id that no user has
PYTHON_TARGET = Path(__file__).parent / "target.py"


def command_of(kind: str, config: pytest.Config) -> list[str | Path]:
    if kind == "python":
        return [sys.executable, PYTHON_TARGET]
    api, _, label = kind.partition("-")
    (build,) = [build for build in build_directories(config) if build.label == label]
    return [c_program(build.path, "victim", api)]


class Flow:
    """Numbered packets there and back over the good connection, one after the other, for ever."""

    def __init__(self, path: str):
        self._interface = Interface(path, ring_size=16, name="good", on_disconnect=self._lost)
        self._changed = threading.Condition()
        self._count = 0
        self._fault = ""
        self._ending = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._ending = True
        self._thread.join()
        self._interface.close()

    def _lost(self, _interface: Interface, reason: str) -> None:
        if not self._ending:
            self._note(f"the good connection was lost: {reason}")

    def _run(self) -> None:
        try:
            while not self._ending and not self._fault:
                sent = b"packet %d" % self._count
                self._interface.send(sent, TIMEOUT)
                came = self._interface.recv(TIMEOUT)
                if came != sent:
                    self._note(f"{came} instead of {sent}")
                self._advance()
                time.sleep(0.001)  # leaves the processor to the attack
        except MemifError as error:
            self._note(f"packet {self._count}: {error}")

    def _advance(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def _note(self, fault: str) -> None:
        with self._changed:
            self._fault = self._fault or fault
            self._changed.notify_all()

    def check(self) -> None:
        """A packet that is sent from now on comes back, as all before it did."""
        with self._changed:
            goal = self._count + 2
            self._changed.wait_for(lambda: self._fault or self._count >= goal, 2 * TIMEOUT)
            assert self._fault == ""
            assert self._count >= goal, "the good connection stands still"


class Watched(Program):
    """What a target holds of the system."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def holdings(self) -> collections.Counter:
        """Descriptors and shared mappings by what they are, without the numbers.

        Not the segment: it is there as long as the process has interfaces, in more and more parts.
        """
        maps = self._maps()
        shared = [line.split(maxsplit=5)[-1] for line in maps if line.split()[1].endswith("s")]
        return collections.Counter(re.sub(r"\d+", "", n) for n in self.descriptors() + shared)

    def descriptors(self) -> list[str]:
        """One may be closed while we look: that is looked at again."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                return super().descriptors()

    def mappings(self) -> int:
        return len(self._maps())

    def _maps(self) -> list[str]:
        lines = Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        return [line for line in lines if "/memfd:libmemif-stats" not in line]

    def is_alive(self) -> bool:
        return self._process.poll() is None


def _of_links(holdings: collections.Counter) -> dict[str, int]:
    """What connections take: their sockets and their memory."""
    return {name: count for name, count in holdings.items() if "socket" in name or "memfd" in name}


class Target:
    """One target for many attacks."""

    def __init__(
        self, kind: str, folder: Path, config: pytest.Config, wrapper: Sequence[str | Path] = ()
    ):
        """`wrapper`: a command that becomes the target's, such as a tracer."""
        self.kind = kind
        self.folder = folder
        self.path = str(folder / "master")
        self._command = [*wrapper, *command_of(kind, config), folder]
        self._numbers = itertools.count()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            variables = {"LIBMEMIF_DEBUG": "1"}
            program = Watched(self._command, self.folder / "errors", variables)
            self.program = stack.enter_context(program)
            assert self.program.line() == "ready"
            self.listening = stack.enter_context(Listening(str(self.folder / "slave")))
            self.flow = Flow(str(self.folder / "good"))
            stack.callback(self.flow.close)
            self.flow.check()
            self._warm_up()
            self._stack = stack.pop_all()
        return self

    def _warm_up(self) -> None:
        """The first connection of each kind also brings what stays, as memory of an allocator."""
        first = self.before = None
        while first is None or self.before != first:
            first, self.before = self.program.holdings(), None
            for version in (256, 512):
                self.good_slave(version)
                self.good_master(version)
            self.settle()
        self.mappings = self.program.mappings()

    def settle(self) -> None:
        """The ends of the last connections are seen after those of the ones before.

        After the warm-up no connection may be left, whatever else has come.
        """
        known, self.before = self.before, None
        while (now := self.program.holdings()) != self.before or (
            known is not None and _of_links(now) != _of_links(known)
        ):
            self.before = now
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def end_in_peace(self) -> None:
        self.flow.close()
        self.program.end_input()
        assert self.program.wait() == 0

    # ---- peers ----

    def slave(self, version: int = 512, **options: object) -> Slave:
        return Slave(self.path, version, **options)

    def master(self, version: int = 512) -> Master:
        """Have the target's slave come."""
        while self._order("again") != "ok":
            time.sleep(0.001)  # it has yet to see that its last connection is over
        return self.listening.accept(version)

    def _rest(self) -> None:
        """Have the target's slave stay away. It may have tried once more before."""
        assert self._order("rest") == "ok"
        self.listening.refuse_all()

    def _order(self, word: str) -> str:
        self.program.write(f"{word}\n")
        return self.program.line()

    def good_slave(self, version: int = 512) -> None:
        """The attacked master serves one who behaves."""
        with self.slave(version).to("connected") as peer:
            self._exchange(peer)

    def good_master(self, version: int = 512) -> None:
        with self.master(version).to("connected") as peer:
            self._exchange(peer)
        self._rest()

    def _exchange(self, peer: Slave | Master) -> None:
        for _ in range(3):
            payload = b"good %d" % next(self._numbers)
            assert peer.exchange(payload) == payload

    # ---- afterwards ----

    def said(self, text: str) -> bool:
        """Whether it is in the debug lines."""
        return text in self.program.errors

    def check(self) -> None:
        """All is as before the attack."""
        self._rest()
        self.flow.check()
        end = time.monotonic() + TIMEOUT
        while (now := self.program.holdings()) != self.before:
            assert self.program.is_alive()
            assert time.monotonic() < end, f"left behind: {now - self.before}, {self.before - now}"
            time.sleep(0.001)

    def check_after_all(self) -> None:
        """The private mappings, too: an allocator may have taken a few more."""
        assert self.program.mappings() <= self.mappings + 8


class UntrustedUser(Program):
    """support/untrusted.py."""

    def order(self, *words: str | int) -> str:
        self.write(" ".join(map(str, words)) + "\n")
        return self.line()


@contextlib.contextmanager
def untrusted_user_of(target: Target, errors: Path) -> Iterator[UntrustedUser]:
    """The target is opened to everybody. To be had by root only."""
    target.folder.chmod(0o755)
    os.chmod(target.path, 0o666)  # noqa: S103 - untrusted users are to connect
    own = Path(tempfile.mkdtemp(prefix="memif-untrusted-"))  # pytest's own folders are closed
    os.chown(own, SOMEBODY, SOMEBODY)
    folder = os.open(target.folder, os.O_PATH | os.O_DIRECTORY)
    os.set_inheritable(folder, True)
    command = [sys.executable, "-P", "-m", "support.untrusted"]
    command += [str(SOMEBODY), own, str(folder), "master"]
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    try:
        with UntrustedUser(command, errors, environment, pass_fds=(folder,)) as program:
            assert program.line() == "ready"
            yield program
    finally:
        os.close(folder)
        shutil.rmtree(own)


class SharedTarget:
    """The target of a module's tests: one for all of them, but a new one after a test that failed,
    so that each failure is of its own making."""

    def __init__(self, kind: str, factory: pytest.TempPathFactory, config: pytest.Config):
        self._make = lambda: Target(kind, factory.mktemp("target"), config)
        self._target: Target | None = None

    def targets(self, session: pytest.Session) -> Iterator[Target]:
        """For a fixture of one test."""
        if self._target is None:
            self._target = self._make().__enter__()
        failures = session.testsfailed
        yield self._target
        if session.testsfailed != failures:
            self.clear()

    def clear(self) -> None:
        target, self._target = self._target, None
        if target is not None:
            target.__exit__()

    def end(self) -> None:
        """The target ends in peace."""
        if self._target is not None:
            self._target.check_after_all()
            self._target.end_in_peace()


def shared_targets(
    request: pytest.FixtureRequest, factory: pytest.TempPathFactory
) -> Iterator[SharedTarget]:
    """For a fixture of a module, with targets as parameters."""
    shared = SharedTarget(request.param, factory, request.config)
    try:
        yield shared
        shared.end()
    finally:
        shared.clear()
