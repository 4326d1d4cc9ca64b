# SPDX-License-Identifier: Apache-2.0
"""The two sides that the words of `memif bridge` name."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from . import devices, vxlan
from .options import InterfaceOptions, options_of
from .ports import MemifPort, Port

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = {"tap": devices.TapPort, "tun": devices.TunPort, "if": devices.PacketPort}
_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9-]*):")


@dataclass(frozen=True)
class Side:
    """What a word names, before it is opened."""

    word: str
    mode: str
    open: Callable[[Callable[[str], None]], Port]
    """Opens the port. Its argument gets a line for whatever happens to it."""
    path: str = ""
    """The socket of a memif."""


def side_of(word: str, defaults: InterfaceOptions) -> Side:
    """The side for tap:NAME, tun:NAME, if:NAME, vxlan:ID, or a memif as in options_of.

    Raises UsageError, NoAnswer if there is no such network interface.
    """
    if found := _PREFIX.match(word):
        return _device(word, found[1], word[found.end() :])
    options = options_of(word, defaults)
    return Side(word, options.mode, functools.partial(MemifPort, options), options.socket)


def _device(word: str, prefix: str, name: str) -> Side:
    if prefix == "vxlan":
        return Side(word, "ethernet", functools.partial(vxlan.VxlanPort, vxlan.parse(word)))
    if prefix not in _KINDS:
        known = ", ".join([*(f"{known}:NAME" for known in _KINDS), vxlan.FORM])
        raise click.UsageError(
            f"{word!r} begins with {prefix}:, expected one of: {known}; "
            f"for a socket of this name ./{word}"
        )
    if not 0 < len(name.encode()) <= devices.NAME_SIZE or "/" in name or " " in name:
        raise click.UsageError(
            f"{word!r}, expected {prefix}:NAME with a name of 1 to {devices.NAME_SIZE} bytes"
        )
    mode = {"tap": "ethernet", "tun": "ip"}.get(prefix) or devices.mode_of(name)
    return Side(word, mode, functools.partial(_KINDS[prefix], word, name))


def check_modes(first: Side, second: Side) -> str:
    """The mode that both sides have. Raises UsageError if they differ."""
    if first.mode == second.mode:
        return first.mode
    raise click.UsageError(
        f"{first.word!r} has {first.mode} packets and {second.word!r} has {second.mode} packets, "
        "expected the same; ,mode=ip or ,mode=ethernet behind a SOCKET says which it has"
    )
