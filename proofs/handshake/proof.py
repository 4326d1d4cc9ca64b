# SPDX-License-Identifier: Apache-2.0
"""All parts of the proof, at either depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import drawn, pairs, roles
from .alphabet import FULL, SHORT, letters
from .claims import CONFORMS, require
from .explorer import Found
from .protocol import MESSAGES

if TYPE_CHECKING:
    from .rules import Rules

SHORT_LISTENERS = ("version 256, one ring each", "any")
SHORT_SLAVES = ("version 256", "plain")


def masters(rules: Rules, *, full: bool) -> Found:
    """All states of masters. Each reaches those that are drawn."""
    whole, alphabet = Found(), letters(FULL if full else SHORT, "master")
    for name in roles.LISTENERS if full else SHORT_LISTENERS:
        found = roles.explore_master(rules, alphabet, roles.LISTENERS[name])
        drawn.check("master", found)
        whole.add(found)
    return whole


def slaves(rules: Rules, *, full: bool) -> Found:
    """All states of slaves. Each reaches those that are drawn."""
    whole, alphabet = Found(), letters(FULL if full else SHORT, "slave")
    for name in roles.SLAVES if full else SHORT_SLAVES:
        found = roles.explore_slave(rules, alphabet, roles.SLAVES[name])
        drawn.check("slave", found)
        whole.add(found)
    return whole


PARTS: dict[str, Callable[..., Found]] = {
    "master": masters,
    "slave": slaves,
    "two machines, all settings": pairs.connect_all,
    "two machines, all orders": pairs.explore_all,
}


def prove(rules: Rules, *, full: bool, say: Callable[[str, Found], None]) -> Found:
    """Search everything; what each part found is told to `say`. Raises ClaimError."""
    labels = {message.label: message.type_number for message in rules.wire.MESSAGE_CLASSES}
    ours = {label: number for label, (number, _fields) in MESSAGES.items()}
    require(labels == ours, CONFORMS, f"the messages are {labels}, and in protocol.py {ours}")
    whole = Found()
    for name, part in PARTS.items():
        found = part(rules, full=full)
        say(name, found)
        whole.add(found)
    return whole
