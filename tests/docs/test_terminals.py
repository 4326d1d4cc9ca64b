# SPDX-License-Identifier: Apache-2.0
"""Pages with several terminals: each command and program runs, and shows what the page says.

A background block has to show the first line of its output before the next block runs, and the
rest before the page ends. Lines of the page are compared in their order; there may be others
between. What is new each time (times, process ids, rates) is not compared.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.builds import environment
from support.memif_command import namespace
from support.pages import DOCS, PAGES, Block, blocks_of, has_terminals

TIMEOUT = 90
TERMINALS = [page for page in PAGES if has_terminals(page)]
WITH_DEVICES = ["modes"]
"""Pages that make network devices: they run in a network namespace."""
PORT = "9464"
CTRL_C = (0, 1, 130, -signal.SIGINT)
# Clock times, times with three decimals, what ping and play took, who the process is.
OTHER_EACH_TIME = re.compile(
    r"\d\d:\d\d:\d\d\.\d+|(?<![\d.])\d+\.\d{3}(?![\d.])|(?<=time )\d+(?=ms)"
    r"|[\d,]+(?= packets/s)|(?<=, id )\d+|(?<=\(pid )\d+"
    r"|(?<=^process)\s+\d+ .*|(?<=^user)\s+\d+, group \d+"
)


def compared(line: str, *, figures: bool) -> str:
    """A line without what is other each time."""
    line = re.sub(r"[\d.,]+|─+", "#", line) if figures else OTHER_EACH_TIME.sub("#", line)
    return " ".join(line.split())


class Terminal:
    """A process of a page, and what the page says that it shows."""

    def __init__(
        self,
        block: Block,
        output: Block | None,
        places: dict[str, str],
        inside: Sequence[str] = (),
    ) -> None:
        """Starts it. `inside` is what runs a command in a network namespace."""
        code = block.code
        for shown, real in places.items():
            code = code.replace(shown, real)
        self.where = f"{block.page.name}:{block.line}"
        self._places = places
        self._figures = output is not None and "figures" in output.mark
        self._expected = [line for line in (output.code if output else "").splitlines() if line]
        self._shown: list[str] = []
        command = (
            [sys.executable, "-c", code] if block.language == "python" else ["bash", "-ec", code]
        )
        self._process = subprocess.Popen(
            [*inside, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=places["/tmp/"],
            env=environment(PYTHONUNBUFFERED="1"),
            start_new_session=True,
        )
        self._end = threading.Timer(TIMEOUT, self._process.kill)
        self._end.start()

    def follow(self, *, first_only: bool = False) -> None:
        """Read until all that the page says was shown, or its first line."""
        while self._expected:
            line = self._process.stdout.readline()
            for shown, real in self._places.items():
                line = line.replace(real, shown)
            self._shown.append(line)
            assert line, f"{self.where}: {self._expected[0]!r} was not shown: {self._shown}"
            figures = self._figures
            if compared(line, figures=figures) == compared(self._expected[0], figures=figures):
                del self._expected[0]
                if first_only:
                    return

    def finish(self, *statuses: int) -> None:
        """It ends by itself."""
        self.follow()
        rest = self._process.stdout.read()
        status = self._process.wait()
        assert status in statuses, f"{self.where}: status {status}: {self._shown} {rest}"

    def ctrl_c(self) -> None:
        """The reader ends it, if it has not ended yet."""
        self.follow()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        self.finish(*CTRL_C)

    def stop(self) -> None:
        """Whatever has happened."""
        self._end.cancel()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def places(tmp_path_factory) -> Iterator[dict[str, str]]:
    """What the page says, and what stands for it here: a folder, a port."""
    folder = tmp_path_factory.mktemp("terminals")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield {"/tmp/": f"{folder}/", PORT: str(port)}
    shutil.rmtree(folder)


@pytest.mark.parametrize("page", TERMINALS, ids=lambda page: page.stem)
def test_the_terminals_of_a_page_show_what_it_says(page, places):
    blocks = blocks_of(page)
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(namespace()) if page.stem in WITH_DEVICES else []
        going_on: list[Terminal] = []
        for block, after in itertools.pairwise([*blocks, None]):
            if not block.runs or block.mark.startswith("run: output"):
                continue
            if "after Ctrl+C" in block.mark:
                going_on.pop().ctrl_c()
            says = after if after is not None and after.mark.startswith("run: output") else None
            terminal = Terminal(block, says, places, inside)
            stack.callback(terminal.stop)
            if block.background:
                terminal.follow(first_only=True)
                going_on.append(terminal)
            else:
                terminal.finish(0)
        for terminal in reversed(going_on):
            terminal.ctrl_c()


def test_each_page_about_a_tool_runs_in_terminals():
    pages = {page.stem for page in TERMINALS}
    assert pages == {"capture", "command", "modes", "prometheus", "relay", "scapy", "watching"}


def test_a_line_that_is_not_shown_is_noticed(places):
    def block(mark: str, code: str) -> Block:
        return Block(Path("page.md"), 1, mark, "sh", code)

    terminal = Terminal(block("run: terminal", "echo 1"), block("run: output", "2\n"), places)
    try:
        with pytest.raises(AssertionError, match="'2' was not shown"):
            terminal.finish(0)
    finally:
        terminal.stop()


def test_the_metrics_of_the_page_are_those_of_the_collector():
    from libmemif_py.adapters.metrics import InterfaceCollector

    families = InterfaceCollector([]).describe()
    made = {f"{f.name}_total" if f.type == "counter" else f.name for f in families}
    text = (DOCS / "tutorial" / "prometheus.md").read_text()
    assert set(re.findall(r"\bmemif_(?:connected|\w+_total)\b", text)) == made
    assert f'targets: ["127.0.0.1:{PORT}"]' in text
