# SPDX-License-Identifier: Apache-2.0
"""Programs that send back what comes, and the peers that they must survive."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from support.builds import SUPPORT
from support.programs import OTHER_ROLE, TIMEOUT, Launcher, Program, Side, c_program

SURVIVORS = ("v1", "v4", "python")
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
        return len(list((folder / "fd").iterdir())), maps.count("/memfd:") - maps.count(
            "/memfd:libmemif-stats"
        )

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def settled_holdings(self) -> tuple[int, int]:
        """What it holds between two attempts to connect, once it serves.

        A program says that a link is up before it opens what it waits with; it answers after.
        """
        self.echoed()
        before = None
        while (now := self.holdings()) != before:
            before = now
            time.sleep(0.02)
        return now

    def wait_until_holding(self, expected: tuple[int, int]) -> None:
        """There is no event to wait for: a connection that never was up ends without a word."""
        end = time.monotonic() + TIMEOUT
        while (now := self.holdings()) != expected:
            assert time.monotonic() < end, f"(descriptors, mappings) {now}, expected {expected}"
            time.sleep(0.001)


class SurvivorLauncher(Launcher):
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

    def stopping_peers(self, version: int) -> Program:
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
            held = survivor.settled_holdings()
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
