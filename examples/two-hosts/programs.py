# SPDX-License-Identifier: Apache-2.0
"""The processes of one host: dpdk-testpmd as its switch, and a program behind it."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
from typing import TYPE_CHECKING

from network import CABLE, Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack
    from pathlib import Path

MEMIF = "/two-hosts"
"""The memif's name is abstract: it belongs to the namespace, so that both hosts can use one."""

QUIT_TIMEOUT = 60.0
_MEMIF_PORT, _CABLE_PORT = 0, 1
_COUNTERS = re.compile(
    r"statistics for port (?P<port>\d+) .*?RX-packets: (?P<rx>\d+).*?"
    r"TX-packets: (?P<tx>\d+)\s+TX-dropped: (?P<dropped>\d+)",
    re.DOTALL,
)


class ProgramError(RuntimeError):
    """A program did not do its part."""


class Program:
    """A process with a log file, which ends with the stack at the latest."""

    def __init__(
        self, stack: ExitStack, command: Sequence[str], log: Path, stdout: int | None = None
    ) -> None:
        """`stdout` is subprocess.PIPE for one whose output is to be read."""
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output if stdout is None else stdout,
                stderr=output,
                text=True,
                start_new_session=True,  # the terminal's Ctrl+C is for us
                env={**os.environ, "RUNTIME_DIRECTORY": str(log.parent)},
            )
        stack.callback(self._kill)

    @property
    def pid(self) -> int:
        """Of the program itself."""
        return self._process.pid

    def write(self, line: str) -> None:
        """A line to its standard input; one that has ended says so at its end."""
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def output_beside(self, others: Sequence[Program]) -> Iterator[str]:
        """Its output, as it comes, as long as the others live. Raises ProgramError."""
        assert self._process.stdout is not None, "its output goes to the log"
        output = self._process.stdout.fileno()
        with contextlib.ExitStack() as stack:
            ready = stack.enter_context(selectors.DefaultSelector())
            ready.register(output, selectors.EVENT_READ)
            for program in others:
                end = os.pidfd_open(program.pid)
                stack.callback(os.close, end)
                ready.register(end, selectors.EVENT_READ)
            while True:
                if any(key.fd != output for key, _ in ready.select()):
                    for program in others:
                        program.check_alive()
                text = os.read(output, 4096).decode()
                if not text:
                    return
                yield text

    def end_input(self) -> None:
        """What asks it to end."""
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def terminate(self) -> None:
        """SIGTERM; one that has ended already is left in peace."""
        self._process.terminate()

    def wait(self) -> None:
        """Until it ended, in peace. Raises ProgramError."""
        try:
            status = self._process.wait(QUIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ProgramError(f"{self.log.stem} does not end{self._last_words()}") from None
        if status != 0:
            raise ProgramError(f"{self.log.stem} ended with status {status}{self._last_words()}")

    def check_alive(self) -> None:
        """Raises ProgramError if it has ended."""
        if self._process.poll() is not None:
            self.wait()
            raise ProgramError(f"{self.log.stem} ended by itself{self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return "".join(f"\n    {line}" for line in lines)

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self.end_input()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Switch(Program):
    """A dpdk-testpmd that passes packets between the memif and the cable, from its start on."""

    def __init__(self, stack: ExitStack, host: Host, folder: Path) -> None:
        """Its files go to `folder`."""
        # Two lcores are the least. Both run wherever we may: two switches that were bound to the
        # same processor would wait for each other's time slice.
        # No telemetry and a short prefix: sockets lie in `folder`, and their paths have a limit.
        processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        memif = f"net_memif0,role=server,id=0,socket={MEMIF},socket-abstract=yes"
        command = host.command(
            *("dpdk-testpmd", "--no-huge", "--no-pci", "-m", 128, "--iova-mode=va"),
            *(f"--lcores=(0,1)@({processors})", "--no-telemetry", "--file-prefix=p"),
            *(f"--vdev={memif}", f"--vdev=net_af_packet0,iface={CABLE}"),
            *("--", "--no-numa", "--total-num-mbufs=16384", "--forward-mode=io"),
        )
        folder.mkdir()
        super().__init__(stack, command, folder / f"testpmd of {host.name}.log")

    def stop(self) -> dict[str, int]:
        """Stop forwarding, then everything, and say what was passed on.

        In this order, and with the program at the other end of the memif still there: DPDK 22.11
        unmaps the rings of a peer that left without regard to a core that forwards on them.
        """
        self.write("\n")  # what it waits for, from when it forwards
        self.wait()
        counters = {
            int(found["port"]): found
            for found in _COUNTERS.finditer(self.log.read_text(errors="replace"))
        }
        if not {_MEMIF_PORT, _CABLE_PORT} <= counters.keys():
            raise ProgramError(f"{self.log.stem} has no counters{self._last_words()}")
        memif, cable = counters[_MEMIF_PORT], counters[_CABLE_PORT]
        return {
            "from memif": int(memif["rx"]),
            "to cable": int(cable["tx"]),
            "from cable": int(cable["rx"]),
            "to memif": int(memif["tx"]),
            "dropped": int(memif["dropped"]) + int(cable["dropped"]),
        }
