# SPDX-License-Identifier: Apache-2.0
"""Whoever is killed takes nothing along: peers die by SIGKILL in every state of the handshake and
in the middle of traffic, and the other side goes on.

A survivor (c_tests/echo.c, echo4.c, tests/support/echo.py) has a steady connection, over
which packets are sent back and checked all the while, and others, whose peers are killed.
Afterwards those connect again, and the survivor holds as many descriptors and mappings as before.
`--kills=1000` says how many die in each test.
"""

import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builds import SUPPORT
from support.c_collector import build_directories
from support.programs import OTHER_ROLE, TIMEOUT, Program, Side, Stage, c_program

SURVIVORS = ("v1", "v4", "python")
VERSIONS = (256, 512)
# Of a connection with one ring each way and two regions at most: nobody takes more messages.
MOST_STEPS = 16


class Survivor(Side):
    """An echo program."""

    def echoed(self) -> list[int]:
        self.write("\n")
        return [int(n) for n in self.line_that_begins("echoed")]

    def line_that_begins(self, word: str) -> list[str]:
        """The rest of the next such line; links come and go in between."""
        while True:
            first, *rest = self.line().split()
            if first == word:
                return rest

    def wait_for(self, *words: str) -> None:
        while self.line().split() != list(words):
            pass

    def holdings(self) -> tuple[int, int]:
        """Open descriptors, mappings of shared memory."""
        folder = Path(f"/proc/{self._process.pid}")
        maps = (folder / "maps").read_text()
        return len(list((folder / "fd").iterdir())), maps.count("/memfd:")

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def wait_until_holding(self, expected: tuple[int, int]) -> None:
        """There is no event to wait for: a connection that never was up ends without a word."""
        end = time.monotonic() + TIMEOUT
        while (now := self.holdings()) != expected:
            assert time.monotonic() < end, f"(descriptors, mappings) {now}, expected {expected}"
            time.sleep(0.001)


class Scene(Stage):
    """A survivor, its steady peer, and those that are to die."""

    def __init__(self, folder: Path, build: Path):
        super().__init__(folder, build)
        self.steady_socket = str(folder / "steady.sock")
        self._echo = {
            "v1": [c_program(build, "echo", "v1")],
            "v4": [c_program(build, "echo", "v4")],
            "python": [sys.executable, SUPPORT / "echo.py"],
        }

    def survivor(self, kind: str, role: str, version: int, *arguments: str | int) -> Survivor:
        command = [*self._echo[kind], "-s", self.socket, "-S", self.steady_socket, "-r", role]
        environment = {"LIBMEMIF_PROTOCOL": str(version)}
        return Survivor([*command, *map(str, arguments)], self._errors(), environment)

    def asker(self, role: str, socket: str, index: int, version: int, *arguments: str) -> Side:
        """Sends without an end, and checks what comes back."""
        options = ("-s", socket, "-r", role, "-i", index, "-c", "-x", *arguments)
        command = [*self._traffic["v1"], *map(str, options)]
        return Side(command, self._errors(), {"LIBMEMIF_PROTOCOL": str(version)})

    def victims(self, version: int) -> Program:
        script = SUPPORT / "stopping_peers.py"
        return Program([sys.executable, script, self.socket, str(version)], self._errors())

    @contextlib.contextmanager
    def survival(self, kind: str, role: str, version: int, interfaces: int) -> Iterator[Survivor]:
        """What happens in here leaves the survivor as it was, and its steady peer content."""
        with contextlib.ExitStack() as stack:
            other = OTHER_ROLE[role]
            survivor = self.survivor(kind, role, version, "-n", interfaces)
            asker = None
            if role == "slave":
                asker = stack.enter_context(self.asker(other, self.steady_socket, 0, version))
            stack.enter_context(survivor)
            asker = asker or stack.enter_context(self.asker(other, self.steady_socket, 0, version))
            survivor.wait_for("up", "0")
            held = survivor.holdings()
            before = survivor.echoed()[0]
            yield survivor
            survivor.wait_until_holding(held)
            wait_for_more(survivor, 0, before)
            self.connect_again(survivor, other, version)
            survivor.wait_until_holding(held)
            asker.end()
            survivor.end()

    def connect_again(self, survivor: Survivor, role: str, version: int) -> None:
        before = survivor.echoed()[1]
        with self.asker(role, self.socket, 1, version) as asker:
            survivor.wait_for("up", "1")
            wait_for_more(survivor, 1, before)
            asker.end()


def wait_for_more(survivor: Survivor, index: int, before: int) -> None:
    """It answers at once, and packets take a while."""
    end = time.monotonic() + TIMEOUT
    while survivor.echoed()[index] <= before:
        assert time.monotonic() < end, f"interface {index} stands still at {before} packets"


@pytest.fixture
def scene(tmp_path, pytestconfig) -> Scene:
    return Scene(tmp_path, build_directories(pytestconfig)[0].path)


@pytest.fixture
def kills(pytestconfig) -> int:
    return pytestconfig.getoption("kills")


survivors = pytest.mark.parametrize("kind", SURVIVORS)
versions = pytest.mark.parametrize("version", VERSIONS)
roles = pytest.mark.parametrize("role", ["master", "slave"])


def kill_next(victims: Program) -> None:
    word, pid = victims.line().split()
    assert word == "stopped"
    os.kill(int(pid), signal.SIGKILL)
    assert victims.line() == f"gone {pid}"


@survivors
@versions
def test_a_master_outlives_slaves_that_die_in_their_handshake(scene, kills, kind, version):
    with scene.survival(kind, "master", version, 2) as survivor, scene.victims(version) as victims:
        held = survivor.holdings()
        for steps in itertools.islice(itertools.cycle(range(MOST_STEPS)), max(kills, MOST_STEPS)):
            victims.write(f"slave 1 {steps}\n")
            kill_next(victims)
            # One interface has one peer: the next one comes when the last is forgotten.
            survivor.wait_until_holding(held)


# All connections of a master die with it, each in another state: a slave of 1.0 or Python comes
# back only after two seconds.
@survivors
@versions
def test_a_slave_outlives_masters_that_die_in_their_handshake(scene, kills, kind, version):
    interfaces = MOST_STEPS + 1
    steps = " ".join(map(str, range(MOST_STEPS)))
    with scene.survival(kind, "slave", version, interfaces), scene.victims(version) as victims:
        for _ in range(max(1, kills // MOST_STEPS)):
            victims.write(f"master {steps}\n")
            kill_next(victims)


@survivors
@versions
@roles
def test_it_outlives_peers_that_die_in_the_middle_of_traffic(scene, kills, kind, version, role):
    with scene.survival(kind, role, version, 2) as survivor:
        for _ in range(max(1, kills // 16)):
            before = survivor.echoed()[1]
            with scene.asker(OTHER_ROLE[role], scene.socket, 1, version) as peer:
                survivor.wait_for("up", "1")
                wait_for_more(survivor, 1, before)
                peer.send_signal(signal.SIGKILL)
                survivor.wait_for("down", "1")
