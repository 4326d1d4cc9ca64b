# SPDX-License-Identifier: Apache-2.0
"""The machines to search, with their settings, and what their callers may do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .explorer import OWN, Event, Explorer, Found
from .protocol import V1, V2, Listener, Master, Offer, Refused, Slave, Terms, send

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .alphabet import Letter
    from .rules import Rules

# Ids 9 and 10 are those of interfaces that are not to be had.
INTERFACES: tuple[tuple[int, Terms | str], ...] = (
    (7, Terms(num_s2m_rings=2)),
    (8, Terms(if_name=b"i" * 32, mode=1, secret=b"right", min_version=V2)),
    (9, "ACCSLAVE"),
    (10, "ALRCONN"),
)
LISTENERS = {
    "any": Listener(INTERFACES),
    "version 256, one ring each": Listener(
        INTERFACES, max_version=V1, num_s2m_rings=1, num_m2s_rings=1
    ),
    "version 512": Listener(INTERFACES, min_version=V2),
}
SLAVES = {
    "plain": Terms(num_s2m_rings=2, num_m2s_rings=2),
    "smallest ring": Terms(num_s2m_rings=2, log2_ring_size=0),
    "version 256": Terms(max_version=V1, log2_ring_size=14),
    "version 512": Terms(min_version=V2, log2_ring_size=1, secret=b"right", mode=1),
}


def master(rules: Rules, listener: Listener) -> Any:
    """A machine of this listener."""

    def find(number: int) -> Terms:
        try:
            return listener.find(number)
        except Refused as refused:
            text = f"interface {number} is not to be had"
            raise rules.actions.ProtocolError(refused.code, text) from None

    return rules.handshake.MasterHandshake(
        listener.app_name,
        find,
        min_version=listener.min_version,
        max_version=listener.max_version,
        num_s2m_rings=listener.num_s2m_rings,
        num_m2s_rings=listener.num_m2s_rings,
    )


def _own(name: str, do: Any, expected: Any) -> Event:
    return Event(name, OWN, f"{name.partition('(')[0]}()", do, expected)


def _ended(reason: str | bytes) -> Event:
    told = reason if isinstance(reason, bytes) else reason.encode()
    answers = [send("DISCONNECT", 0, told)]
    return _own(
        f"disconnect({reason!r})",
        lambda machine: machine.disconnect(reason),
        lambda reference: (reference.closed(), answers),
    )


_ALWAYS = [_ended("handshake timed out"), _ended(b"the interface was deleted")]
_MASTER_CALLS = [
    _own("start()", lambda machine: machine.start(), lambda reference: reference.start()),
    _own("accept()", lambda machine: machine.accept(), lambda reference: reference.accept()),
    *_ALWAYS,
]


def _offers(slave: Slave) -> list[Offer]:
    """Good ones of one region and of many, and bad ones."""
    if slave.wanted is None:
        return [Offer()]
    count = slave.wanted.max_region + 1
    one = Offer((4096,), (0,) * slave.wanted.num_s2m, (0,) * slave.wanted.num_m2s)
    two = replace(one, regions=(4096, 2**64 - 1), m2s=(1,) * slave.wanted.num_m2s)
    found = [one, two, replace(one, regions=(4096,) * (count + 1))]
    found += [replace(one, s2m=(*one.s2m, 0)), replace(one, m2s=one.m2s[1:])]
    return [*found, replace(one, s2m=(1,) * len(one.s2m)), replace(one, m2s=(-1,) * len(one.m2s))]


def _slave_calls(slave: Slave) -> Iterable[Event]:
    yield from _ALWAYS
    for offer in _offers(slave):
        shown = f"{len(offer.regions)} regions, S2M in {offer.s2m}, M2S in {offer.m2s}"
        yield _own(
            f"offer({shown})",
            lambda machine, offer=offer: machine.offer(*offer.arguments()),
            lambda reference, offer=offer: reference.offer(offer),
        )


def explore_master(rules: Rules, letters: Iterable[Letter], listener: Listener) -> Found:
    """Search a master of this listener."""
    machine, reference = master(rules, listener), Master(listener)
    return Explorer(rules, letters, machine, reference, lambda _: _MASTER_CALLS).run()


def explore_slave(rules: Rules, letters: Iterable[Letter], terms: Terms) -> Found:
    """Search a slave with these settings."""
    machine = rules.handshake.SlaveHandshake(terms)
    return Explorer(rules, letters, machine, Slave(terms), _slave_calls).run()
