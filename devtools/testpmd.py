# SPDX-License-Identifier: Apache-2.0
"""DPDK's dpdk-testpmd as a memif peer.

with Testpmd([memif_vdev("server", socket)]) as testpmd:
    testpmd.command("start")
    testpmd.wait_for_stats(lambda stats: stats["rx_packets"] >= 10)
"""

import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import tty
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

PROMPT = "testpmd> "
LAST_WORD = "Bye..."
START_TIMEOUT = 60.0
COMMAND_TIMEOUT = 30.0
QUIT_TIMEOUT = 30.0
STATS_INTERVAL = 0.02

_file_prefixes = itertools.count()


class TestpmdError(Exception):
    """It did not start, did not answer in time, or ended badly."""

    __test__ = False


def memif_vdev(role: str, socket: Path | str, index: int = 0, **keys: object) -> str:
    """Return a --vdev argument: `role` is server (master) or client (slave).

    More keys of the driver are given by name, with _ for -.
    """
    values = {"role": role, "id": index, "socket": socket, "socket-abstract": "no"}
    values |= {name.replace("_", "-"): value for name, value in keys.items()}
    return f"net_memif{index}," + ",".join(f"{key}={value}" for key, value in values.items())


class Testpmd:
    """One dpdk-testpmd, from its first prompt to its end.

    `vdevs` are values of --vdev, `args` go after the --, `eal_args` before it.
    """

    __test__ = False

    def __init__(
        self,
        vdevs: Sequence[str],
        args: Sequence[str] = (),
        eal_args: Sequence[str] = (),
    ) -> None:
        """Prepare; it runs from __enter__ on."""
        # Short: the path of a socket there has 107 bytes at most.
        self._runtime: tempfile.TemporaryDirectory[str] | None = None
        self._ports = len(vdevs)
        self._arguments = command_line(vdevs, args, eal_args)
        self._process: subprocess.Popen[bytes] | None = None
        self._terminal = -1
        self._unread = ""
        self._transcript = ""

    def __enter__(self) -> Self:
        """Start it and wait for its prompt and its ports."""
        if shutil.which(self._arguments[0]) is None:
            raise TestpmdError(
                "dpdk-testpmd is not installed: `./bootstrap test` installs it; it is in the "
                "packages dpdk-dev, librte-net-memif* and librte-mempool-ring*"
            )
        self._runtime = tempfile.TemporaryDirectory(prefix="testpmd-")
        # On a pipe the output would wait in a buffer until the end.
        self._terminal, program_side = os.openpty()
        tty.setraw(program_side)
        try:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=program_side,
                stdout=program_side,
                stderr=program_side,
                start_new_session=True,
                env={**os.environ, "RUNTIME_DIRECTORY": self._runtime.name, "TERM": "dumb"},
            )
        except BaseException:
            os.close(self._terminal)
            self._runtime.cleanup()
            raise
        finally:
            os.close(program_side)
        try:
            self._read_until(PROMPT, START_TIMEOUT)
            self._check_ports()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Have it quit; after an exception it is killed."""
        if kind is not None:
            self._kill()
            return
        try:
            status = self._quit()
        finally:
            self._kill()
        # DPDK 24.11 sometimes crashes behind its last word, with a slave that looks for it again.
        if status != 0 and not (status == -signal.SIGSEGV and LAST_WORD in self.transcript):
            raise TestpmdError(f"dpdk-testpmd ended with status {status}{self._history()}")

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        return self._running().pid

    @property
    def transcript(self) -> str:
        """All that was read so far."""
        return self._transcript + self._unread

    def command(self, line: str, timeout: float = COMMAND_TIMEOUT) -> str:
        """Enter a command line and return what it printed."""
        self._write(line)
        # Behind the last prompt there may be a message about a link that came or went.
        self._read_until(line, timeout)
        return self._read_until(PROMPT, timeout).strip()

    def stats(self, port: int = 0) -> dict[str, int]:
        """Return the counters of `show port stats`: rx_packets, tx_bytes, rx_missed, and so on."""
        text = self.command(f"show port stats {port}")
        found = re.findall(r"([RT][Xx]-\w+):\s+(\d+)", text)
        if not found:
            raise TestpmdError(f"no counters for port {port}: {text!r}")
        return {name.lower().replace("-", "_"): int(value) for name, value in found}

    def wait_for_stats(
        self,
        predicate: Callable[[dict[str, int]], bool],
        timeout: float = COMMAND_TIMEOUT,
        port: int = 0,
    ) -> dict[str, int]:
        """Return the first counters that satisfy the predicate."""
        return self._poll(lambda: self.stats(port), predicate, timeout)

    def link_is_up(self, port: int = 0) -> bool:
        """Return whether a peer is connected to the port."""
        return "Link status: up" in self.command(f"show port info {port}")

    def wait_for_link(self, timeout: float = COMMAND_TIMEOUT, port: int = 0) -> None:
        """Return when a peer is connected to the port."""
        self._poll(lambda: self.link_is_up(port), bool, timeout)

    def _check_ports(self) -> None:
        # A device that cannot be made is only a line in the output.
        summary = self.command("show port summary all")
        if f"Number of available ports: {self._ports}\n" not in summary:
            raise TestpmdError(f"not all of the {self._ports} ports came up{self._history()}")

    def _poll(
        self, ask: Callable[[], Any], satisfied: Callable[[Any], bool], timeout: float
    ) -> Any:
        # Counters and links have no event: ask again, but leave the processor to the peers.
        end = time.monotonic() + timeout
        while True:
            answer = ask()
            if satisfied(answer):
                return answer
            if time.monotonic() >= end:
                raise TestpmdError(f"not within {timeout} s, at last {answer!r}{self._history()}")
            self._receive(time.monotonic() + STATS_INTERVAL)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise TestpmdError("dpdk-testpmd is not running")
        return self._process

    def _write(self, line: str) -> None:
        self._running()
        os.write(self._terminal, line.encode() + b"\n")

    def _read_until(self, mark: str, timeout: float) -> str:
        end = time.monotonic() + timeout
        while mark not in self._unread:
            if not self._receive(end):
                raise TestpmdError(f"no {mark!r} within {timeout} s{self._history()}")
        text, _, rest = self._unread.partition(mark)
        self._transcript += text + mark
        self._unread = rest
        return text

    def _receive(self, end: float) -> bool:
        """Read once; False when the time is over first."""
        seconds = max(0.0, end - time.monotonic())
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        data = self._read_terminal()
        if not data:
            raise TestpmdError(f"dpdk-testpmd ended by itself{self._history()}")
        self._unread += data.decode(errors="replace").replace("\r\n", "\n")
        return True

    def _read_terminal(self) -> bytes:
        try:
            return os.read(self._terminal, 65536)
        except OSError:
            # What a terminal says when the other side is gone.
            return b""

    def _quit(self) -> int:
        self._write("quit")
        end = time.monotonic() + QUIT_TIMEOUT
        try:
            while self._receive(end):
                pass
        except TestpmdError:
            return self._running().wait(max(0.0, end - time.monotonic()))
        raise TestpmdError(f"no end within {QUIT_TIMEOUT} s of quit{self._history()}")

    def _kill(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        os.close(self._terminal)
        if self._runtime is not None:
            self._runtime.cleanup()

    def _history(self) -> str:
        return f"; its output:\n{self.transcript}"


def command_line(vdevs: Sequence[str], args: Sequence[str], eal_args: Sequence[str]) -> list[str]:
    """Return the command that starts a testpmd without huge pages and PCI devices."""
    # Two lcores are the least. Both may run wherever we may, so that one processor is enough.
    processors = ",".join(str(processor) for processor in sorted(os.sched_getaffinity(0)))
    mbufs = [] if any("total-num-mbufs" in arg for arg in args) else ["--total-num-mbufs=16384"]
    return [
        "dpdk-testpmd",
        "--no-huge",
        "--no-pci",
        "-m",
        "512",
        "--iova-mode=va",
        f"--lcores=(0,1)@({processors})",
        f"--file-prefix=p{next(_file_prefixes)}",
        *(f"--vdev={vdev}" for vdev in vdevs),
        *eal_args,
        "--",
        "-i",
        "--no-numa",
        *mbufs,
        *args,
    ]
