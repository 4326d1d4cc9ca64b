# SPDX-License-Identifier: Apache-2.0
"""What `memif top` shows: tables that fit the terminal, and the key that ends them."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .report import json_text
from .waiting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

_ALL_COLUMNS = ("", "packets/s", "Gbit/s", "ring", "packets", "full", "interrupts")
"""In the order of their importance. A narrow terminal has no room for the last ones."""
_FEWEST = 2
_NO_LIMIT = 10_000
"""Columns of an output that is no terminal: no table is too wide for a file."""


@dataclass(frozen=True)
class Group:
    """An interface: its title, and a row for each queue and direction."""

    title: str
    rows: list[dict[str, Any]]


def is_live(as_json: bool) -> bool:
    """Whether each update replaces the last one, on a terminal."""
    return sys.stdout.isatty() and not as_json


@contextlib.contextmanager
def screen(as_json: bool) -> Iterator[Callable[[Any, list[Group]], None]]:
    """A function that shows an update: a value for JSON, else groups.

    On a terminal they replace the last ones, else they follow.
    """
    if as_json:
        yield lambda value, _groups: click.echo(json_text(value))
        return
    from rich.console import Console

    if not is_live(as_json):
        console = Console(width=_NO_LIMIT)
        yield lambda _value, groups: console.print(_Tables(groups))
        return
    from rich.live import Live

    with Live(console=Console(), auto_refresh=False) as live:
        yield lambda _value, groups: live.update(_Tables(groups, "q: end"), refresh=True)


class _Tables:
    """One table for each group. All have the same columns, one below the other."""

    def __init__(self, groups: list[Group], last: str = "") -> None:
        """`last` is the last line of a terminal, which shows as many groups as fit above it."""
        self._groups = [(group.title, [_cells(row) for row in group.rows]) for group in groups]
        self._last = last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment
        from rich.text import Text

        if not self._last:
            for parts in self._parts(console, options):
                yield from parts
            return
        lines, left = self._above(console, options)
        for line in lines:
            yield from line
            yield Segment.line()
        more = f"; {left} of {len(self._groups)} do not fit the screen" if left else ""
        yield Text(f"{self._last}{more}", style="dim")

    def _above(self, console: Console, options: ConsoleOptions) -> tuple[list[list[Segment]], int]:
        """The lines of the groups that fit above the last line, and how many do not.

        If not even the first fits, its first lines.
        """
        from rich.console import Group as Parts

        room = console.size.height - 1
        lines: list[list[Segment]] = []
        for number, parts in enumerate(self._parts(console, options)):
            more = console.render_lines(Parts(*parts), options, pad=False)
            if len(lines) + len(more) > room:
                return lines or more[:room], len(self._groups) - number
            lines += more
        return lines, 0

    def _parts(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[list[Text | Table | str]]:
        """What each group shows."""
        from rich.text import Text

        all_cells = [cells for _, rows in self._groups for cells in rows]
        columns: tuple[str, ...] = _ALL_COLUMNS
        while len(columns) > _FEWEST and _width(console, all_cells, columns) > options.max_width:
            columns = columns[:-1]
        widths = [max((len(cells[name]) for cells in all_cells), default=0) for name in columns]
        for title, rows in self._groups:
            parts: list[Text | Table | str] = [
                Text(printable(title), style="italic", overflow="fold")
            ]
            if rows:
                parts.append(_table(rows, columns, widths))
            yield [*parts, ""]


def _cells(row: dict[str, Any]) -> dict[str, str]:
    is_tx = row["direction"] == "tx"
    rate = row["bits_per_second"]
    return {
        "": f"{row['direction']} {row['queue']}",
        "packets/s": _number(row["packets_per_second"]),
        "Gbit/s": "-" if rate is None else f"{rate / 1e9:.3f}",
        "ring": "-" if row["ring_fill"] is None else f"{row['ring_fill']}/{row['ring_size']}",
        "packets": _number(row["packets"]),
        "full": _number(row["full"]) if is_tx else "",
        "interrupts": _number(row["interrupts"]) if is_tx else "",
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _table(
    rows: list[dict[str, str]], columns: tuple[str, ...], widths: list[int] | None = None
) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for name, width in zip(columns, widths or [0] * len(columns), strict=True):
        table.add_column(
            name, justify="right", no_wrap=True, min_width=max(width, len(name)) or None
        )
    for cells in rows:
        table.add_row(*(cells[name] for name in columns))
    return table


def _width(console: Console, rows: list[dict[str, str]], columns: tuple[str, ...]) -> int:
    """The columns of the terminal that a table takes."""
    table = _table(rows, columns)
    return table.__rich_measure__(console, console.options.update(width=_NO_LIMIT)).maximum


class Keys:
    """The keys of a terminal, each as it is pressed. Without one there are none."""

    def __init__(self, *, wanted: bool) -> None:
        """`wanted`: whether this command is on a terminal at all."""
        self._fd = -1
        # A program in the background must not touch the terminal: the kernel would stop it.
        with contextlib.suppress(OSError, ValueError):
            fd = sys.stdin.fileno()
            if wanted and os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
                self._fd = fd

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """In the block keys come without Enter, and are not echoed."""
        if self._fd < 0:
            yield
            return
        before = termios.tcgetattr(self._fd)
        try:
            try:
                tty.setcbreak(self._fd, termios.TCSANOW)
                yield
            finally:
                termios.tcsetattr(self._fd, termios.TCSANOW, before)
        finally:  # once more, because a signal may have interrupted the first
            termios.tcsetattr(self._fd, termios.TCSANOW, before)

    def end_within(self, seconds: float) -> bool:
        """Wait so long; True as soon as `q` is pressed."""
        end = time.monotonic() + seconds
        while self._fd >= 0 and (left := end - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                pressed = os.read(self._fd, 64)
                if b"q" in pressed.lower():
                    return True
                if not pressed:
                    self._fd = -1  # the terminal is gone
        time.sleep(max(0.0, end - time.monotonic()))
        return False
