# SPDX-License-Identifier: Apache-2.0
"""The programs of the 4.0 interface, for tests that start them."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from support.programs import Program, Stage, wait_until_listening

OTHER_ROLE = {"master": "slave", "slave": "master"}


def end_by_signal(program: Program) -> None:
    """End it by Ctrl+C; it must have nothing to complain of."""
    program.send_signal(signal.SIGINT)
    assert (program.wait(), program.errors) == (0, "")


class Stage4(Stage):
    """With a third language for traffic, C by the 4.0 interface, and its examples."""

    def __init__(self, folder: Path, build: Path):
        super().__init__(folder, build)
        self._traffic["c4"] = [build / "c_tests" / "traffic4"]

    def program(self, name: str, *arguments: str | int, version: int | None = None) -> Program:
        """One of the examples, with all its arguments."""
        environment = {"LIBMEMIF_PROTOCOL": str(version)} if version else {}
        command = [self._examples / name, *map(str, arguments)]
        return Program(command, self._errors(), environment)

    @contextlib.contextmanager
    def responder4(
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

    @contextlib.contextmanager
    def bridge4(
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
