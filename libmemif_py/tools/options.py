# SPDX-License-Identifier: Apache-2.0
"""Options that all commands share, and the interfaces that they describe."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from libmemif_py import Interface, errors
from libmemif_py.control import wire
from libmemif_py.settings import MODES

from . import stop
from .waiting import NoAnswer, Reporter, printable, wait_for_link, wait_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from libmemif_py.settings import Mode, Role

EXAMPLES_FIRST = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
DEFAULT_SOCKET = "/run/vpp/memif.sock"
MOST_QUEUES = 256
MOST_SLOTS = 16384
MOST_BYTES = wire.UINT16_MAX
_SECRET_SIZE = 24


@dataclass(frozen=True)
class InterfaceOptions:
    """The interface that the command line asks for."""

    socket: str
    role: Role
    id: int
    secret_file: str | None
    queues: int
    ring_size: int
    buffer_size: int
    protocol: str | None
    mode: Mode
    socket_mode: int | None
    socket_owner: int | str | None
    socket_group: int | str | None
    timeout: float

    @property
    def patience(self) -> float | None:
        """Seconds to wait for the other end; None for no limit."""
        return None if math.isinf(self.timeout) else self.timeout

    @property
    def shown(self) -> str:
        """The interface as messages name it."""
        return f"{self.socket} (id {self.id}, {self.role})"

    @property
    def doing(self) -> str:
        """What the interface does from the start."""
        return "listening on" if self.role == "master" else "connecting to"

    @contextlib.contextmanager
    def open(self, tell: Callable[[str], None], *, prefix: str = "") -> Iterator[Interface]:
        """The interface. In the block it connects or listens. Raises UsageError, NoAnswer.

        `tell` gets a line whenever the link comes or goes, and when another reason keeps it away.
        All but the last begin with `prefix`.
        """
        reporter = Reporter(tell, self.shown, prefix)
        with contextlib.ExitStack() as stack:
            with stop.held():
                interface = self._make(reporter.callbacks())
                stack.callback(reporter.watch(interface).join)
                stack.callback(interface.close)
            yield interface

    def _make(self, callbacks: dict[str, Any]) -> Interface:
        try:
            return Interface(
                self.socket,
                role=self.role,
                id=self.id,
                secret=_secret(self.secret_file),
                mode=self.mode,
                s2m_rings=self.queues,
                m2s_rings=self.queues,
                ring_size=self.ring_size,
                buffer_size=self.buffer_size,
                version=None if self.protocol is None else int(self.protocol),
                socket_mode=self.socket_mode,
                socket_owner=self.socket_owner,
                socket_group=self.socket_group,
                app_name="memif",
                **callbacks,
            )
        except errors.ArgumentError as error:
            raise click.UsageError(str(error)) from error
        except errors.NoFileError as error:
            folder = os.path.dirname(self.socket) or "."
            raise NoAnswer(f"{self.socket}: no folder {folder!r}, make it first") from error
        except errors.MemifError as error:
            raise NoAnswer(f"{self.shown}: {error}") from error

    def check_headers_known(self) -> None:
        """Raises UsageError for a command that has to know what packets begin with."""
        if self.mode == "punt-inject":
            raise click.UsageError(
                "--mode punt-inject: memif does not say what its packets begin with, expected "
                "ethernet or ip"
            )

    def wait(self, interface: Interface) -> None:
        """Wait until the link is up. Raises NoAnswer after `timeout` seconds.

        While no slave comes, a master has no reason to tell, so it says what it waits for.
        """
        if self.role == "master" and self.timeout:
            say(f"{self.doing} {self.shown}")
        self._wait(interface)

    def _wait(self, interface: Interface) -> None:
        if not wait_for_link(interface, self.timeout):
            raise self.no_link(interface)

    def no_link(self, interface: Interface) -> NoAnswer:
        """The error for a link that did not come up within `timeout` seconds."""
        reason = printable(interface.details().last_error) or "no peer connected"
        advice = (
            f"see `memif info {self.socket}`"
            if self.role == "slave"
            else "start a slave for it, or use --role slave"
        )
        within = f" within {self.timeout:g} s" if self.timeout else ""
        return NoAnswer(f"no link on {self.shown}{within}: {reason}; {advice}")

    def wait_if_limited(self, interface: Interface) -> None:
        """The same for a command that goes on without a link, unless the user set a limit."""
        if self.patience is not None:
            self._wait(interface)


def _secret(file: str | None) -> bytes | None:
    """The secret from a file, without its line end, or from MEMIF_SECRET. No message quotes it."""
    if file is None:
        value = os.environb.get(b"MEMIF_SECRET")
        where = "MEMIF_SECRET"
    else:
        where = f"--secret-file {file}"
        try:
            value = Path(file).read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise click.UsageError(
                f"{where}: {error.strerror}, expected a file that can be read"
            ) from error
    if value is not None and len(value) > _SECRET_SIZE:
        raise click.UsageError(f"{where} holds {len(value)} bytes, expected at most {_SECRET_SIZE}")
    return value


class _RingSize(click.ParamType):
    """The slots of a ring, a power of two."""

    name = "slots"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> int:
        """Convert text. Calls `fail` if it is wrong."""
        try:
            number = int(value)
        except ValueError:
            number = 0
        if not 1 <= number <= MOST_SLOTS or number & (number - 1):
            self.fail(
                f"{value!r}, expected a power of two from 1 to {MOST_SLOTS}", parameter, context
            )
        return number


class _Permissions(click.ParamType):
    """The permissions of a file, in octal digits."""

    name = "mode"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> int:
        """Convert text. Calls `fail` if it is wrong."""
        if re.fullmatch("0?[0-7]{3}", value) is None:
            self.fail(f"{value!r}, expected octal digits such as 660", parameter, context)
        return int(value, 8)


class _Account(click.ParamType):
    """The name or the number of a user or of a group."""

    name = "name"

    def convert(
        self, value: Any, _parameter: click.Parameter | None, _context: click.Context | None
    ) -> int | str:
        """Digits are a number, all else is a name, which is looked up later."""
        return int(value) if value.isascii() and value.isdigit() else value


def _socket_option(*also: str) -> Callable:
    return click.option(
        "-S",
        "--socket",
        *also,
        "socket",
        default=DEFAULT_SOCKET,
        envvar="MEMIF_SOCKET",
        show_default=True,
        metavar="SOCKET",
        help="Control socket; @NAME is an abstract one. Default from MEMIF_SOCKET, if set. "
        "It may carry options: SOCKET,role=master,id=1.",
    )


def sockets_option() -> Callable:
    """-S SOCKET, for a command with several; it gets the words as `sockets`."""
    return click.option(
        "-S",
        "--socket",
        "sockets",
        multiple=True,
        metavar="SOCKET",
        help="The same as the argument SOCKET, as in the other commands; may be repeated.",
    )


def default_socket() -> str:
    """What a command uses that was given no socket."""
    return os.fsdecode(os.environb.get(b"MEMIF_SOCKET", b"")) or DEFAULT_SOCKET


def _common(role: str, wait: float | str | None) -> list[Callable]:
    number = click.IntRange
    option = functools.partial(click.option, show_default=True)
    return [
        option(
            "--role",
            type=click.Choice(["master", "slave"]),
            default=role,
            help="Listen (master) or connect (slave).",
        ),
        option(
            "--id",
            type=number(0, 2**32 - 1),
            default=0,
            help="Interface id; must be the same as the peer's.",
        ),
        option(
            "--secret-file",
            metavar="FILE",
            help="File with the secret, at most 24 bytes. Default: MEMIF_SECRET, if set.",
        ),
        option(
            "--queues", type=number(1, MOST_QUEUES), default=1, help="Queues in each direction."
        ),
        option("--ring-size", type=_RingSize(), default=1024, help="Slots of a ring (slave only)."),
        option(
            "--buffer-size",
            type=number(1, MOST_BYTES),
            default=2048,
            help="Bytes of a buffer (slave only). A longer packet takes several buffers.",
        ),
        option(
            "--protocol",
            type=click.Choice(["256", "512"]),
            help="Speak only this protocol version. Default: the highest that both ends speak.",
        ),
        option(
            "--mode",
            type=click.Choice(MODES),
            default="ethernet",
            help="Header that packets begin with (punt-inject: any); must be the same as the "
            "peer's.",
        ),
        option(
            "--socket-mode",
            type=_Permissions(),
            metavar="MODE",
            help="Permissions of the socket file, such as 660 (master only). Who may write to it "
            "may connect. Default: the umask decides.",
        ),
        option(
            "--socket-owner",
            type=_Account(),
            metavar="USER",
            help="User who will own the socket file (master only); needs root.",
        ),
        option(
            "--socket-group",
            type=_Account(),
            metavar="GROUP",
            help="Its group (master only); one of our own groups, or needs root.",
        ),
        wait_option(wait),
    ]


def interface_options(
    role: str = "slave",
    wait: float | str | None = 10,
    *,
    with_socket: bool = True,
    socket_names: tuple[str, ...] = (),
) -> Callable[[Callable], Callable]:
    """Decorate a command: it gets an InterfaceOptions named `options`.

    `socket_names`: what else -S is called.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            values.setdefault("socket", "")
            fields = {name: values.pop(name) for name in InterfaceOptions.__dataclass_fields__}
            options = InterfaceOptions(**fields)
            if with_socket:
                options = options_of(options.socket, options)
            return function(options=options, **values)

        own = [_socket_option(*socket_names)] if with_socket else []
        for option in reversed([*own, *_common(role, wait)]):
            command = option(command)
        return command

    return decorate


def say(text: str) -> None:
    """Print a line on stderr, apart from the output."""
    click.echo(printable(text), err=True)


# ---- an interface as one word: PATH,role=master,id=1 ----

_KEYS = {
    "role": click.Choice(["master", "slave"]),
    "id": click.IntRange(0, 2**32 - 1),
    "secret-file": click.STRING,
    "queues": click.IntRange(1, MOST_QUEUES),
    "ring-size": _RingSize(),
    "buffer-size": click.IntRange(1, MOST_BYTES),
    "protocol": click.Choice(["256", "512"]),
    "mode": click.Choice(MODES),
    "socket-mode": _Permissions(),
    "socket-owner": _Account(),
    "socket-group": _Account(),
}
OF_MASTERS = ("socket_mode", "socket_owner", "socket_group")
_SETTING = re.compile(r",([a-z-]+)=([^,]*)$")


def options_of(word: str, defaults: InterfaceOptions) -> InterfaceOptions:
    """The options in SOCKET[,role=...][,id=...]...; all others come from `defaults`.

    A word that names a slave takes no default for the socket file, which is the master's.
    """
    path, values = parts_of(word, _KEYS)
    if values.get("role") == "slave":
        values = dict.fromkeys(OF_MASTERS) | values
    return replace(defaults, socket=path, **values)


def settings_of(word: str) -> tuple[str, dict[str, Any]]:
    """SOCKET, and only those options that the word has."""
    return parts_of(word, _KEYS)


def path_of(word: str) -> str:
    """The path in SOCKET[,role=...][,id=...]..., for a command that needs no more."""
    return parts_of(word, _KEYS)[0]


def parts_of(word: str, keys: Mapping[str, click.ParamType]) -> tuple[str, dict[str, Any]]:
    """What stands before the first ,KEY=VALUE, and the values. Raises UsageError."""
    path: str = word
    values: dict[str, Any] = {}
    while found := _SETTING.search(path):
        key, value = found.groups()
        if key not in keys:
            raise click.UsageError(f"{word!r} has {key!r}, expected one of: {', '.join(keys)}")
        try:
            values[key.replace("-", "_")] = keys[key].convert(value, None, None)
        except click.BadParameter as error:
            raise click.UsageError(f"{word!r}, {key}: {error.message}") from error
        path = path[: found.start()]
    return path, values
