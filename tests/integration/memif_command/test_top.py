# SPDX-License-Identifier: Apache-2.0
"""`memif top` shows counters and rings."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest
from rich.console import Console
from support.memif_command import MEMIF, interrupt
from support.programs import TIMEOUT

from libmemif_py import Interface
from libmemif_py.tools import screen


def test_top_counts_and_shows_what_lies_in_the_rings(shell):
    with Interface(shell.socket, role="master") as ours:
        top = shell.start("top", shell.socket, "--packets", "keep", "--json", "-d", 0.1)
        ours.send_burst([bytes(60)] * 2 + [bytes(9000)], TIMEOUT)
        rx, tx = json.loads(top.line())
        while rx["ring_fill"] != 7:
            rx, tx = json.loads(top.line())
        assert rx["ring_packets"] == 3
        assert (rx["direction"], rx["ring_size"], rx["connected"]) == ("rx", 1024, True)
        assert (tx["direction"], tx["ring_fill"]) == ("tx", 0)
        interrupt(top, 0)


def test_top_shows_a_table(shell):
    with Interface(shell.socket, role="master"):
        output = shell.run("top", shell.socket, "-n", 1, "--wait", TIMEOUT).stdout
    assert "connected to libmemif_py" in output
    assert "rx 0" in output


def row(path: str, queue: int, packets: int) -> dict:
    return {
        "socket": path, "id": 0, "role": "slave", "connected": True, "peer": "VPP 24.10 memif0/0",
        "version": 512, "last_error": "", "queue": queue, "direction": "tx", "packets": packets,
        "full": packets, "interrupts": packets, "packets_per_second": packets,
        "bits_per_second": packets * 512, "ring_size": 16384, "ring_fill": 16384,
    }  # fmt: skip


def drawn(width: int) -> list[str]:
    """Two interfaces, of which one counts much more than the other."""
    rows = [row("/run/vpp/memif.sock", 0, 1), row("/run/vpp/other.sock", 12, 40_000_000)]
    output = io.StringIO()
    groups = [screen.Group(row["socket"], [row]) for row in rows]
    Console(file=output, width=width).print(screen._Tables(groups))
    return output.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (20, ["packets/s"]),
        (40, ["packets/s", "Gbit/s"]),
        (70, ["packets/s", "Gbit/s", "ring", "packets", "full"]),
        (80, ["packets/s", "Gbit/s", "ring", "packets", "full", "interrupts"]),
    ],
)
def test_a_narrow_terminal_shows_whole_columns_that_lie_below_each_other(width, columns):
    lines = drawn(width)
    assert all(len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    first, second = (line for line in lines if "packets/s" in line)
    assert first == second
    assert first.split() == columns
    rows = [line for line in lines if line.startswith(("tx 0", "tx 12", " tx 0"))]
    assert len({len(line.rstrip()) for line in rows}) == 1


@pytest.mark.parametrize(
    ("height", "last"),
    [
        (100, "q: end"),
        (26, "q: end"),  # 5 groups of 5 lines
        (25, "q: end; 1 of 5 do not fit the screen"),
        (8, "q: end; 4 of 5 do not fit the screen"),
        (4, "q: end; 5 of 5 do not fit the screen"),
    ],
)
def test_a_low_terminal_shows_what_fits_and_says_how_much_does_not(height, last):
    groups = [screen.Group(f"{n}.sock", [row(f"{n}.sock", 0, 1)]) for n in range(5)]
    output = io.StringIO()
    console = Console(file=output, width=40, height=height)
    console.print(screen._Tables(groups, "q: end"))
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert len(lines) <= height
    assert (lines[0], lines[-1]) == ("0.sock", last)


class Terminal:
    """`memif top` on a terminal of its own."""

    def __init__(self, *words: object):
        self._our_side, self._its_side = pty.openpty()
        self.modes = self.modes_now()
        command = [*MEMIF, "top", *map(str, words)]
        ends = dict.fromkeys(("stdin", "stdout", "stderr"), self._its_side)
        self._output = b""
        variables = {**os.environ, "TERM": "xterm"}
        # In a session of its own, whose terminal this is.
        self.process = subprocess.Popen(["setsid", "--ctty", *command], **ends, env=variables)

    def modes_now(self) -> list:
        return termios.tcgetattr(self._its_side)

    def is_raw(self) -> bool:
        return not self.modes_now()[3] & (termios.ICANON | termios.ECHO)

    def press(self, key: bytes) -> None:
        os.write(self._our_side, key)

    def wait_for(self, text: bytes) -> None:
        end = time.monotonic() + TIMEOUT
        while text not in self._output:
            ready, _, _ = select.select([self._our_side], [], [], max(0, end - time.monotonic()))
            assert ready, self._output
            self._output += os.read(self._our_side, 4096)

    def status(self) -> int:
        return self.process.wait(TIMEOUT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._our_side)
        os.close(self._its_side)


@pytest.fixture
def terminal(shell) -> Iterator[Terminal]:
    made = Terminal(shell.socket, "-d", 0.1)
    yield made
    made.close()


def test_the_key_q_ends_top(terminal):
    terminal.wait_for(b"No such file or directory")
    assert terminal.is_raw()
    terminal.press(b"x")
    terminal.press(b"q")
    assert terminal.status() == 0
    assert terminal.modes_now() == terminal.modes


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_top_leaves_the_terminal_as_it_was_when_a_signal_ends_it(terminal, number, status):
    terminal.wait_for(b"q: end")
    terminal.process.send_signal(number)
    assert terminal.status() == status
    assert terminal.modes_now() == terminal.modes


def test_ctrl_c_on_the_keyboard_ends_top(terminal):
    terminal.wait_for(b"q: end")
    terminal.press(b"\3")
    assert terminal.status() == 0


def test_an_error_leaves_the_terminal_as_it_was(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as stdin:
        before = termios.tcgetattr(theirs)
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr(os, "tcgetpgrp", lambda _fd: os.getpgrp())
        keys = screen.Keys(wanted=True)
        with pytest.raises(RuntimeError), keys.read():
            assert termios.tcgetattr(theirs) != before
            raise RuntimeError
        assert termios.tcgetattr(theirs) == before


def test_a_terminal_that_is_another_programs_is_left_alone(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as stdin:
        before = termios.tcgetattr(theirs)
        monkeypatch.setattr("sys.stdin", stdin)
        keys = screen.Keys(wanted=True)
        with keys.read():
            assert termios.tcgetattr(theirs) == before
        assert not keys.end_within(0)
