# SPDX-License-Identifier: Apache-2.0
"""What a peer may send: each message good, with each field wrong in turn, and bytes that are none.

Every datagram comes without and with descriptors: those that have to have one with one of either
kind and with two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .protocol import KINDS, LABELS, MESSAGES, SIZE, V1, V2, Fd, pack

MEMORY, EVENTFD = Fd("memory", 1), Fd("eventfd", 2)
LARGEST_16 = 0xFFFF


class Letter(NamedTuple):
    """One datagram with its descriptors."""

    name: str
    data: bytes
    fds: tuple[Fd, ...]

    def shown(self) -> str:
        """For a counterexample."""
        return f"{self.name} + {len(self.fds)} fds" if self.fds else self.name

    @property
    def kind(self) -> str | None:
        """Of the descriptor that the message has to have."""
        label = LABELS.get(int.from_bytes(self.data[:2], "little"), "")
        return KINDS.get(label)


class Extent(NamedTuple):
    """How many different good messages there are. All bad ones are always there."""

    regions: tuple[tuple[int, int], ...]  # index, size
    places: tuple[int, ...]  # regions that rings lie in
    log2: tuple[int, ...]
    more_fds: tuple[int, ...]  # how many descriptors come with a message that has none


SHORT = Extent(((255, 4096),), (255,), (10,), (1,))
FULL = Extent(((0, 4096), (0, 0), (255, 2**64 - 1)), (0, 255), (1, 14), (1, 2))
S2M, M2S = (0, 1), (0,)  # the rings that a master of roles.py allows

# Those that a machine of a role takes in some state. Of the others there is one good one.
TAKEN = {
    "master": ("INIT", "ADD_REGION", "ADD_RING", "CONNECT", "DISCONNECT"),
    "slave": ("HELLO", "ACK", "CONNECTED", "DISCONNECT"),
}


def _messages(extent: Extent) -> dict[str, list[tuple[int, tuple[Any, ...]]]]:
    """By label: version of the layout, and fields."""
    names = [(b"",), (b"x" * 32,)]
    of_one_layout: dict[str, list[tuple[Any, ...]]] = {
        "ACK": [()],
        "HELLO": _hellos(),
        "INIT": _inits(),
        "ADD_REGION": [*extent.regions, (256, 4096), (LARGEST_16, 4096)],
        "CONNECT": list(names),
        "CONNECTED": list(names),
        "DISCONNECT": [(0, b""), (0, b"bye"), (2**32 - 1, b"x" * 96), (1, b"\xff\n\x1b[2J")],
    }
    found = {label: [(V2, fields) for fields in all_] for label, all_ in of_one_layout.items()}
    return found | {"ADD_RING": _rings(extent)}


def _datagrams(extent: Extent, role: str) -> dict[str, bytes]:
    """All that a machine of this role may be sent, by label and fields."""
    messages = _messages(extent)
    if missing := set(MESSAGES) - set(messages):
        raise LookupError(f"the alphabet has no {', '.join(missing)}")
    named = {}
    for label, all_ in messages.items():
        for version, fields in all_ if label in TAKEN[role] else all_[:1]:
            suffix = f" of {version}" if label == "ADD_RING" else ""
            data = pack(label, *fields, version=version)
            named[f"{label}({', '.join(map(str, fields))}){suffix}"] = data
        data = pack(label, *all_[0][1], version=all_[0][0])
        named[f"{label} of {SIZE - 1} bytes"] = data[:-1]
        named[f"{label} of {SIZE + 1} bytes"] = data + b"\0"
    for number in (0, len(MESSAGES) + 1, 256, LARGEST_16):
        named[f"type {number}"] = number.to_bytes(2, "little").ljust(SIZE, b"\0")
    return named | {"no bytes": b"", "one byte": b"\1", "type alone": b"\1\0"}


def _varied(good: tuple[Any, ...], others: tuple[tuple[Any, ...], ...]) -> list[tuple[Any, ...]]:
    """The good one, and those with one field of others."""
    found = [good]
    for place, values in enumerate(others):
        found += [(*good[:place], value, *good[place + 1 :]) for value in values]
    return found


def _hellos() -> list[tuple[Any, ...]]:
    indices = (0, 1, 255, 256, LARGEST_16)
    versions = (0, 255, V1, V1 + 1, V2, V2 + 1, LARGEST_16)
    fields = (
        (b"", b"x" * 32),
        versions,
        versions,
        indices,
        indices,
        indices,
        (0, 1, 9, 10, 14, 15, 255),
    )
    both = _varied((b"m", V1, V2, 255, 255, 255, 14), fields)
    return both + _varied((b"m", V1, V1, 0, 0, 0, 1), fields)


def _inits() -> list[tuple[Any, ...]]:
    versions = (0, 255, V1, V1 + 1, V2 - 1, V2, V2 + 1, LARGEST_16)
    secrets = (b"", b"right", b"wrong", b"righ", b"rights", b"right\0old", b"\0right", b"r" * 24)
    found = []
    for number, secret, name in ((7, b"", b"slave"), (8, b"right", b"x" * 32)):
        good = (V2, number, number - 7, secret, name)
        found += _varied(good, (versions, (0, 9, 10, 2**32 - 1), (0, 1, 2, 255), secrets))
    return found


def _rings(extent: Extent) -> list[tuple[int, tuple[Any, ...]]]:
    """Each is sent to machines of either version, also in the layout of the other.

    The offsets of version 256 are so large that version 512 reads a ring size that is too large.
    """
    found = []
    for version, offset in ((V1, 15 << 32), (V2, 0)):
        rest = (0,) if version == V2 else ()
        for flags, indices in ((1, S2M), (0, M2S)):
            rings = [
                (flags, index, place, offset, log2)
                for index in indices
                for place in extent.places
                for log2 in extent.log2
            ]
            beyond = (max(indices) + 1, 255, 256, LARGEST_16)
            rings += [(flags, index, extent.places[0], offset, 10) for index in beyond]
            rings += [(flags, 0, extent.places[0], offset, log2) for log2 in (15, 255)]
            rings.append((flags | 0xFFFE, 0, extent.places[0], offset, extent.log2[0]))
            found += [(version, (*ring, *rest)) for ring in rings]
        # Good in version 512 alone; and in a region that can never be added.
        found += [(version, (0, 0, extent.places[0], offset, 0, *rest))]
        found += [(version, (0, 0, 256, offset, 10, *rest))]
    for flags in (0, 1):
        found += [(V2, (flags, 0, extent.places[0], 0, 10, private)) for private in (1, LARGEST_16)]
    return found


def letters(extent: Extent, role: str) -> list[Letter]:
    """The alphabet of what a machine of a role may be sent."""
    found = []
    for name, data in _datagrams(extent, role).items():
        letter = Letter(name, data, ())
        sets: list[tuple[Fd, ...]] = [(MEMORY, EVENTFD)[:count] for count in extent.more_fds]
        if letter.kind:
            sets = [(MEMORY,), (EVENTFD,), (MEMORY, EVENTFD)]
        found += [letter._replace(fds=fds) for fds in ((), *sets)]
    return found
