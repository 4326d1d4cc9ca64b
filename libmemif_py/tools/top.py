# SPDX-License-Identifier: Apache-2.0
"""`memif top`: queues, rates and rings, live, of running programs or of interfaces of ours."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from libmemif_py import MemifError, errors
from libmemif_py.counters import each_queue

from . import stop
from .options import (
    EXAMPLES_FIRST,
    InterfaceOptions,
    interface_options,
    options_of,
    say,
    sockets_option,
)
from .processes import Watch
from .screen import Group, Keys, is_live, screen
from .waiting import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_BURST = 256


class _Watched:
    """One interface, with threads that receive its packets unless they stay in the ring."""

    def __init__(self, options: InterfaceOptions, what: str, tell: Callable[[str], None]) -> None:
        self.options = options
        self._open = contextlib.ExitStack()
        self.interface = self._open.enter_context(options.open(tell, prefix=f"{options.shown}: "))
        self._before = self.interface.counters()
        self._then = time.monotonic()
        self._threads = [
            threading.Thread(target=self._take, args=(queue, what == "echo"), daemon=True)
            for queue in range(options.queues if what != "keep" else 0)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._open.close()
        for thread in self._threads:
            thread.join()

    def _take(self, queue: int, send_back: bool) -> None:
        """Receive until the interface is closed."""
        while True:
            try:
                packets = self.interface.recv_burst(_BURST, queue=queue)
                if send_back:
                    self.interface.send_burst(packets, 0, queue=queue)
            except errors.NoConnectionError:
                return
            except MemifError:
                continue  # no room, or no link for now

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for each queue and direction, with rates since the last call."""
        now = time.monotonic()
        span, self._then = now - self._then, now
        details = self.interface.details()
        before, self._before = self._before, self.interface.counters()
        for direction, queue in each_queue(self.options.queues, self.options.queues):
            total = getattr(self._before, direction)[queue]
            last = getattr(before, direction)[queue]
            rings = getattr(details, f"{direction}_rings")
            yield {
                "socket": self.options.socket,
                "id": self.options.id,
                "role": self.options.role,
                "connected": details.connected,
                "peer": f"{details.remote_app_name} {details.remote_name}".strip(),
                "version": details.version,
                "last_error": details.last_error,
                "queue": queue,
                "direction": direction,
                "packets": total.packets,
                "bytes": total.bytes,
                "full": getattr(total, "full", 0),
                "interrupts": getattr(total, "interrupts", 0),
                "packets_per_second": (total.packets - last.packets) / span if span else 0.0,
                "bits_per_second": (total.bytes - last.bytes) * 8 / span if span else 0.0,
                "ring_size": rings[queue] if queue < len(rings) else 0,
                "ring_fill": getattr(self.interface, f"{direction}_slots")(queue),
                "ring_packets": getattr(self.interface, f"{direction}_fill")(queue),
            }


_OF_SOCKETS = (
    "what", "role", "id", "secret_file", "queues", "ring_size", "buffer_size", "protocol", "mode",
    "timeout",
)  # fmt: skip
"""The parameters that make sense for an interface of our own."""


@click.command("top", context_settings=EXAMPLES_FIRST)
@click.argument("words", metavar="[SOCKET]...", nargs=-1)
@sockets_option()
@click.option(
    "-d", "delay", type=click.FloatRange(0.05), default=1.0, show_default=True,
    help="Seconds between updates.",
)  # fmt: skip
@click.option("-n", "count", type=click.IntRange(1), help="End after this many updates.")
@click.option(
    "--pid", "pids", type=click.IntRange(1), multiple=True, metavar="PID",
    help="Show only this process; may be repeated. Not with SOCKET.",
)  # fmt: skip
@click.option(
    "--prometheus", "exporter", is_flag=False, flag_value="-", metavar="[ADDRESS:PORT]",
    help="Serve metrics of the processes for Prometheus; without ADDRESS:PORT print them once. "
    "Not with SOCKET.",
)  # fmt: skip
@click.option(
    "--packets", "what", type=click.Choice(["drop", "echo", "keep"]), default="drop",
    show_default=True, help="Drop packets, send them back, or keep them in the ring.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each update.")
@interface_options(wait=FOREVER, with_socket=False)
def command(
    options: InterfaceOptions,
    words: tuple[str, ...],
    sockets: tuple[str, ...],
    delay: float,
    count: int | None,
    pids: tuple[int, ...],
    exporter: str | None,
    what: str,
    as_json: bool,
) -> None:
    """Show queues live: rates, totals, fill of the rings.

    Without SOCKET, of all running programs that use this library, in C or Python: as root of all
    users, otherwise of your own. Looking does not slow them down. A program that was started with
    LIBMEMIF_STATS=0 is not shown, nor one with raised privileges.

    With SOCKET, connect to each (or listen) and show the queues of this end. A SOCKET may have its
    own options: SOCKET,role=master,id=1,queues=2. `--role` and the options after it, and
    `--packets`, need a SOCKET. Use this for peers that use another library.

    The fill of a ring is in slots; a long packet takes several. Of its own end, `--json` also shows
    the fill in packets. A rate or fill that is not known is `-`, in JSON `null`.

    On a terminal, the key q ends the command. A narrow terminal shows fewer columns. The
    last line counts the interfaces for which it is too low.

    \b
    Examples:
      memif top
      memif top --pid 4711 --json -n 1
      memif top --prometheus 127.0.0.1:9105
      memif top /run/vpp/memif.sock,id=1 /run/vpp/memif.sock,id=2 -d 0.5
      memif top @abstract,role=master --packets echo --json -n 10

    Exit status: 0 after `-n` updates, q or Ctrl+C, 1 if there was no link within `--wait`, a PID
    shows nothing or the reader of the output left, 2 wrong usage, 143 after SIGTERM.
    """
    named = (*sockets, *words)
    _check(bool(named), pids, exporter, as_json)
    with stop.by_ctrl_c(), contextlib.ExitStack() as stack:
        if exporter is not None:
            from .exporter import export

            export(exporter, pids)
            return
        update = _of_sockets(named, options, what, as_json, stack) if named else Watch(pids).update
        show = stack.enter_context(screen(as_json))
        keys = Keys(wanted=is_live(as_json))
        stack.enter_context(keys.read())
        for number in itertools.count(1):
            if keys.end_within(delay):
                return
            show(*update())
            sys.stdout.flush()
            if number == count:
                return


def _check(has_socket: bool, pids: tuple[int, ...], exporter: str | None, as_json: bool) -> None:
    """Raise UsageError for options that do not go together."""
    context = click.get_current_context()
    if has_socket:
        wrong = "--pid" if pids else "--prometheus" if exporter is not None else ""
        if wrong:
            raise click.UsageError(f"{wrong} is about running programs, leave out SOCKET")
        return
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in _OF_SOCKETS and source == ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} needs a SOCKET")
    if exporter is not None and as_json:
        raise click.UsageError("--prometheus and --json are two formats, choose one")


def _of_sockets(
    words: tuple[str, ...],
    options: InterfaceOptions,
    what: str,
    as_json: bool,
    stack: contextlib.ExitStack,
) -> Callable[[], tuple[list[dict[str, Any]], list[Group]]]:
    """Open an interface for each; the function looks at them."""
    watched = []
    is_drawn = threading.Event()  # then the screen shows the state of each link
    if is_live(as_json) and options.patience is None:
        is_drawn.set()
    tell = lambda text: None if is_drawn.is_set() else say(text)  # noqa: E731
    for word in words:
        with stop.held():
            watched.append(_Watched(options_of(word, options), what, tell))
            stack.callback(watched[-1].close)
    for one in watched:
        one.options.wait_if_limited(one.interface)
    if is_live(as_json):
        is_drawn.set()

    def update() -> tuple[list[dict[str, Any]], list[Group]]:
        groups = [Group(_title(rows[0]), rows) for rows in (list(one.rows()) for one in watched)]
        return [row for group in groups for row in group.rows], groups

    return update


def _title(row: dict[str, Any]) -> str:
    state = row["last_error"] or "no peer has connected yet"
    if row["connected"]:
        state = f"connected to {row['peer'] or '?'}, version {row['version']}"
    return f"{row['socket']} (id {row['id']}, {row['role']}): {state}"
