# SPDX-License-Identifier: Apache-2.0
"""How commands wait for a link: for how long, and what they say meanwhile."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import Timeout, errors
from libmemif_py.control import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from libmemif_py import Interface

FOREVER = "forever"
_GLANCE = 0.1
"""Nothing signals that an attempt to connect has failed, so the reason is looked at so often."""
_OUR_END = "interface deleted"
"""The reason of a link that went down because we closed it."""


def printable(text: str) -> str:
    """`text` with characters that would control the terminal escaped."""
    return wire.printable(text.encode("utf-8", "surrogateescape"))


class NoAnswer(click.ClickException):
    """Nobody listens, or nobody answers: exit status 1."""

    exit_code = 1


class _Seconds(click.ParamType):
    """A time in seconds, or FOREVER, which is infinite."""

    name = "seconds"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Convert text. Calls `fail` if it is wrong."""
        try:
            seconds = math.inf if value == FOREVER else float(value)
        except ValueError:
            seconds = math.nan
        if not seconds >= 0 or (math.isinf(seconds) and value not in (FOREVER, math.inf)):
            self.fail(f"{value!r}, expected seconds such as 2.5, or {FOREVER}", parameter, context)
        return seconds


def wait_option(default: float | str | None, what: str = "the other end") -> Callable:
    """The option --wait: the command gets it as `timeout`, infinite for no limit."""
    return click.option(
        "--wait",
        "timeout",
        type=_Seconds(),
        default=default,
        show_default=True,
        help=f"Seconds to wait for {what}, or {FOREVER}. 0: do not wait.",
    )


class Reporter:
    """Tells when a peer comes or leaves, and why there is no link: once for each change."""

    def __init__(self, tell: Callable[[str], None], shown: str, prefix: str = "") -> None:
        """`shown` is the interface in texts about a link that does not come about.

        `prefix` is for all other texts.
        """
        self._tell = tell
        self._shown = shown
        self._prefix = prefix
        self._lock = threading.Lock()
        self._told = ""
        self._left = threading.Event()

    def callbacks(self) -> dict[str, Callable]:
        """Arguments for the interface."""
        return {"on_connect": self._came, "on_disconnect": self._went}

    def watch(self, interface: Interface) -> threading.Thread:
        """Begin, on a thread that ends when the interface is closed."""
        thread = threading.Thread(target=self._watch, args=(interface,), daemon=True)
        thread.start()
        return thread

    def _watch(self, interface: Interface) -> None:
        while True:
            try:
                interface.wait_connected(_GLANCE)
            except Timeout:
                self._explain(interface.details().last_error)
            except errors.NoConnectionError:
                return
            else:
                self._left.wait()
                self._left.clear()

    def _explain(self, reason: str) -> None:
        with self._lock:
            if reason in ("", self._told):
                return
            self._told = reason
            self._tell(f"no link on {self._shown} yet: {reason}")

    def _came(self, interface: Interface) -> None:
        details = interface.details()
        peer = f"{details.remote_app_name} {details.remote_name}".strip()
        with self._lock:
            self._told = ""
            self._tell(f"{self._prefix}connected to {peer or 'a peer without a name'}")

    def _went(self, _interface: Interface, reason: str) -> None:
        with self._lock:
            self._told = reason
            if reason != _OUR_END:
                self._tell(f"{self._prefix}{reason}")
        self._left.set()


def wait_for_link(interface: Interface, seconds: float) -> bool:
    """Wait so long for the link, or without end; False if the time is up.

    With 0, wait only until the first attempt of a slave has an end.
    """
    is_slave = interface.details().role == "slave"
    try:
        if seconds:
            interface.wait_connected(None if math.isinf(seconds) else seconds)
            return True
        while is_slave and not interface.connected and not interface.details().last_error:
            _glance(interface)
    except Timeout:
        return False
    return interface.connected


def _glance(interface: Interface) -> None:
    try:
        interface.wait_connected(_GLANCE)
    except Timeout:
        return
