# SPDX-License-Identifier: Apache-2.0
"""A `memif relay` between two sockets, and what it does while packets pass."""

from pathlib import Path

from support.memif_command import Shell, wait_for_words
from support.programs import Program, Side, wait_until_listening
from support.traffic_pairs import Pairs


class Relayed:
    """A relay in a folder: slaves come to `slaves`, masters listen at `masters`."""

    def __init__(self, shell: Shell, *options: object) -> None:
        """It listens before this returns."""
        self.slaves, self.masters = (str(shell.folder / name) for name in ("a.sock", "b.sock"))
        self._shell = shell
        self._options = options
        self.program = self.start()

    def start(self) -> Program:
        """Another one, when the last has ended."""
        self.program = self._shell.start("relay", self.slaves, self.masters, *self._options)
        wait_until_listening(self.slaves)
        return self.program

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it does."""
        wait_for_words(self.program, text, times)


class RelayedPairs(Pairs):
    """Traffic programs of which masters have another socket than slaves."""

    def __init__(self, relayed: Relayed, folder: Path, build: Path) -> None:
        super().__init__(folder, build)
        self._relayed = relayed

    def traffic(self, language: str, role: str, *arguments, **options) -> Side:
        """As that of Launcher."""
        self.socket = self._relayed.masters if role == "master" else self._relayed.slaves
        return super().traffic(language, role, *arguments, **options)


def times_it_slept(program: Program) -> int:
    """How often its threads went to sleep, once all of them sleep.

    A thread that sleeps goes to sleep again only after something has woken it.
    """
    tasks = list(Path(f"/proc/{program.pid}/task").iterdir())
    while True:
        texts = [(task / "status").read_text() for task in tasks]
        if all("\nState:\tS" in text for text in texts):
            return sum(
                int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts
            )
