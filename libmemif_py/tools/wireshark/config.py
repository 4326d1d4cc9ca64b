# SPDX-License-Identifier: Apache-2.0
"""The settings that Wireshark shows before a capture, made of the options of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..options import MOST_SLOTS, default_socket
from .sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOCKET = "socket"
# What Wireshark shows beside the field; the help of the option is its tooltip.
_LABELS = {
    _SOCKET: "Socket",
    "role": "Role",
    "id": "Interface id",
    "secret_file": "File with the secret",
    "mode": "Packets begin with a header of",
    "queues": "Queues in each direction",
    "ring_size": "Slots of a ring",
    "buffer_size": "Bytes of a buffer",
    "protocol": "Protocol version",
    "timeout": "Seconds to wait for the other end",
}
_PLACEHOLDERS = {
    "protocol": "the highest that both ends speak",
    "timeout": "10 as slave, forever as master",
}
# What the field takes, where Wireshark has no type for it. Nothing means the default.
_PATTERNS = {"protocol": "^(256|512)?$", "timeout": r"^(forever|[0-9]+([.][0-9]+)?)?$"}
_SMALLEST_RING = 16


def config_of(command: click.Command, *, any_socket: bool) -> Iterator[str]:
    """The sentences. A socket, and a role on it, is asked for if the interface names none."""
    options = {str(o.name): o for o in command.params if isinstance(o, click.Option)}
    names = [name for name in _LABELS if any_socket or name not in (_SOCKET, "role")]
    for number, name in enumerate(names):
        yield from _field(number, options[name])


def _field(number: int, option: click.Option) -> Iterator[str]:
    name = str(option.name)
    choices = _choices(option)
    fields: dict[str, object] = {
        "number": number,
        "call": option.opts[-1],
        "display": _LABELS[name],
        "tooltip": option.help,
        "placeholder": _PLACEHOLDERS.get(name),
        "validation": _PATTERNS.get(name),
    }
    # Where there is none, it depends on click's version what stands in its place.
    default = option.default if isinstance(option.default, str | int) else None
    default = default_socket() if name == _SOCKET else default
    if choices:
        yield sentence("arg", **fields, type="selector")
        for choice in choices:
            is_default = choice == str(default)
            yield sentence("value", arg=number, value=choice, display=choice, default=is_default)
    elif isinstance(option.type, click.IntRange):
        limits = f"{option.type.min},{option.type.max}"
        yield sentence("arg", **fields, type="unsigned", range=limits, default=default)
    elif name == "secret_file":
        yield sentence("arg", **fields, type="fileselect", mustexist=True)
    else:
        yield sentence("arg", **fields, type="string", default=default)


def _choices(option: click.Option) -> list[str]:
    """What a list shows; nothing if any value will do, or none is a default."""
    if option.name == "ring_size":
        most = MOST_SLOTS.bit_length()
        return [str(1 << bit) for bit in range(_SMALLEST_RING.bit_length() - 1, most)]
    if isinstance(option.type, click.Choice) and option.name not in _PATTERNS:
        return list(option.type.choices)
    return []
