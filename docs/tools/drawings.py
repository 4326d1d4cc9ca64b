# SPDX-License-Identifier: Apache-2.0
"""The drawings, made from what they show.

    python docs/tools/drawings.py        writes docs/drawings/*.svg

The handshake is played by the two state machines of handshake.py, the places in memory come from
regions.py and from memif.h. tests/docs/test_docs.py compares the files with what is made here.
"""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
import headers
import structure
from svg import Svg

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "drawings"
VERSIONS = {"1.0": 256, "4.0": 512}
CALLS = ("start", "offer", "accept")  # steps of a machine that no message begins


class DrawingError(Exception):
    """The tables have something that would be missing in the drawing."""


def _control_plane(module: str) -> Any:
    """From this checkout: these modules need no compiled half."""
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module(f"libmemif_py.control.{module}")
    finally:
        sys.path.remove(str(ROOT))


# ---- the handshake, played


class Step(NamedTuple):
    """One machine takes a message, or is told to go on; what it does then."""

    side: str
    before: str
    takes: str  # label of a message, or one of CALLS
    after: str
    sends: tuple[str, ...]  # labels

    def without_descriptors(self) -> Step:
        """The same with bare labels, and with () behind a call."""
        takes = f"{self.takes}()" if self.takes in CALLS else self.takes.split(" + ")[0]
        sends = tuple(label.split(" + ")[0] for label in self.sends)
        return self._replace(takes=takes, sends=sends)


@dataclass(frozen=True)
class _Terms:
    """What both machines of the play want."""

    app_name: bytes = b"app"
    if_name: bytes = b"interface"
    interface_id: int = 0
    mode: int = 0
    secret: bytes = b""
    num_s2m_rings: int = 1
    num_m2s_rings: int = 1
    log2_ring_size: int = 10
    min_version: int = 256
    max_version: int = 512


class Play:
    """The handshake of a master and a slave with one ring in each direction."""

    def __init__(self) -> None:
        """Play it to the end."""
        self.rules = _control_plane("handshake")
        self.wire = _control_plane("wire")
        self.steps: list[Step] = []
        self.machines = {
            "master": self.rules.MasterHandshake(b"app", lambda _id: _Terms()),
            "slave": self.rules.SlaveHandshake(_Terms()),
        }
        waiting = self._do("master", "start", self.machines["master"].start)
        while waiting:
            waiting = self._exchange(waiting)
        self._check_that_nothing_is_missing()

    def _exchange(self, waiting: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Give messages to the side that they are for; returns the answers."""
        answers = []
        for sender, send in waiting:
            side = "slave" if sender == "master" else "master"
            machine = self.machines[side]
            fds = () if send.fd is None else (send.fd,)
            label = self._label(send)
            answers += self._do(side, label, lambda m=machine, s=send, f=fds: m.receive(s.data, f))
        if self.machines["slave"].state == self.rules.PREPARING:
            answers += self._do("slave", "offer", self._offer)
        if self.machines["master"].state == self.rules.MAPPING:
            answers += self._do("master", "accept", self.machines["master"].accept)
        return answers

    def _offer(self) -> list:
        regions = [(4096, "memfd"), (4096, "memfd")]
        return self.machines["slave"].offer(regions, [(0, 0, "eventfd")], [(0, 1, "eventfd")])

    def _do(self, side: str, takes: str, call: Callable[[], list]) -> list[tuple[str, Any]]:
        machine = self.machines[side]
        before = machine.state
        actions = call()
        sends = [action for action in actions if isinstance(action, self.rules.Send)]
        labels = tuple(self._label(send) for send in sends)
        self.steps.append(Step(side, before, takes, machine.state, labels))
        return [(side, send) for send in sends]

    def _label(self, send: Any) -> str:
        label = self.wire.decode(send.data, self.machines["slave"].version or 512).label
        return label if send.fd is None else f"{label} + {send.fd}"

    def edges(self, side: str) -> list[Step]:
        """What is drawn of a machine, without descriptors and closers.

        proofs/handshake compares it with what the machine does in all states that it can reach.
        """
        steps = (step for step in self.steps if step.side == side)
        return list(dict.fromkeys(step.without_descriptors() for step in steps))

    def closers(self, side: str) -> list[str]:
        """The states in which DISCONNECT may come."""
        table = type(self.machines[side]).TRANSITIONS
        return [state for state, message in table if message is self.wire.Disconnect]

    def states(self, side: str) -> list[str]:
        """In the order in which they are reached."""
        return list(
            dict.fromkeys(
                state
                for step in self.steps
                if step.side == side
                for state in (step.before, step.after)
            )
        )

    def _check_that_nothing_is_missing(self) -> None:
        for side, machine in self.machines.items():
            played = {
                (step.before, step.takes.split(" + ")[0])
                for step in self.steps
                if step.side == side
            }
            for state, message in type(machine).TRANSITIONS:
                if message is not self.wire.Disconnect and (state, message.label) not in played:
                    raise DrawingError(
                        f"{side}: {message.label} in {state} is allowed, and not drawn"
                    )
            if machine.state != self.rules.CONNECTED:
                raise DrawingError(f"the {side} ends in {machine.state}, not in CONNECTED")


def handshake() -> str:
    """Who says what when, with the states between."""
    play = Play()
    left, right, top, step = 230, 550, 70, 46
    arrows = [s for s in play.steps if s.takes not in CALLS]
    svg = Svg(780, top + step * len(arrows) + 60, "The handshake")
    for x, name in ((left, "master"), (right, "slave")):
        svg.text(x, 28, name, bold=True, anchor="middle")
        svg.line(x, 40, x, top + step * len(arrows) + 30, kind="quiet")
    states = {"master": "NEW", "slave": play.steps[1].before}
    svg.state(right + 90, 58, states["slave"])
    svg.state(left - 90, 58, play.steps[0].before)
    shown = dict(states)
    y = top
    for number, taken in enumerate(play.steps):
        if taken.takes in CALLS:
            if taken.after != shown[taken.side]:
                x = right + 90 if taken.side == "slave" else left - 90
                svg.state(x, y + (28 if taken.takes == "start" else 34), taken.after)
                shown[taken.side] = taken.after
            y += 0 if number else 14
            continue
        y += step if number > 1 else 16
        ends = (left, right) if taken.side == "slave" else (right, left)
        svg.arrow(ends[0], y, ends[1], y)
        svg.text((left + right) / 2, y - 7, taken.takes, anchor="middle")
        if taken.after != shown[taken.side]:
            x = right + 90 if taken.side == "slave" else left - 90
            svg.state(x, y, taken.after)
            shown[taken.side] = taken.after
    return svg.done()


def states() -> str:
    """Both state machines, from their tables."""
    play = Play()
    svg = Svg(860, 644, "The state machines of the handshake")
    for x, side in ((40, "master"), (460, "slave")):
        _machine(svg, play, side, x)
    return svg.done()


def _machine(svg: Svg, play: Play, side: str, x: int) -> None:
    names = play.states(side)
    middle, top, gap = x + 90, 70, 84
    place = {name: top + gap * number for number, name in enumerate(names)}
    place[play.rules.CLOSED] = top + gap * len(names)
    svg.text(middle, 30, side, bold=True, anchor="middle")
    loops: dict[str, list[str]] = {}
    for step in play.edges(side):
        label = _edge(step)
        if step.before == step.after:
            loops.setdefault(step.before, []).append(label)
            continue
        svg.arrow(middle, place[step.before] + 16, middle, place[step.after] - 16)
        svg.text(middle + 10, (place[step.before] + place[step.after]) / 2 + 4, label)
    for name, labels in loops.items():
        for number, label in enumerate(dict.fromkeys(labels)):
            svg.text(middle + 116, place[name] - 8 + 18 * number, label)
        svg.loop(middle + 70, place[name])
    bus = x - 18
    closers = play.closers(side)
    for name in closers:
        svg.line(middle - 70, place[name], bus, place[name], kind="dashed")
    bottom = place[play.rules.CLOSED]
    svg.line(bus, min(place[name] for name in closers), bus, bottom, kind="dashed")
    svg.arrow(bus, bottom, middle - 70, bottom, kind="dashed")
    svg.text(bus + 6, bottom + 34, "DISCONNECT, or a rule broken")
    for name, y in place.items():
        svg.state(middle, y, name)


def _edge(step: Step) -> str:
    return " / ".join(filter(None, (step.takes, ", ".join(step.sends))))


# ---- shared memory


def _size(member: headers.Member, types: dict[str, str]) -> int:
    words = member.declaration.split()
    base = types.get(words[0], words[0])
    bits = int(re.match(r"u?int(\d+)_t", base)[1])
    count = re.search(r"\[(\d+)\]", member.declaration)
    return bits // 8 * (int(count[1]) if count else 1)


def _plain_types(header: headers.Header) -> dict[str, str]:
    return {item.name: item.declaration.split()[1] for item in header.of("type")}


def ring() -> str:
    """The bytes of a ring in both versions: header, descriptors."""
    svg = Svg(820, 440, "A ring in memory")
    for x, (api, version) in zip((30, 430), VERSIONS.items(), strict=True):
        header = headers.load(api, "memif.h")
        types = _plain_types(header)
        svg.text(x, 30, f"version {version}", bold=True)
        y = _ring_header(svg, header, types, x, 50)
        svg.text(x, y + 30, f"descriptor, {_descriptor_size(header, types)} bytes")
        _descriptor(svg, header, types, x, y + 44)
    return svg.done()


_BYTE = 42


def _ring_header(svg: Svg, header: headers.Header, types: dict, x: int, y: int) -> int:
    line = 64
    at = 0
    for member in header["memif_ring_t"].members:
        if "desc" in member.name:
            continue
        if "aligned" in member.declaration:
            y += 34
            at = (at + line - 1) // line * line
            svg.cell(x, y, 8 * _BYTE, f"empty to byte {at}", kind="empty")
            y += 56
            svg.text(x, y - 8, f"byte {at}")
        elif at == 0:
            svg.text(x, y + 12, "byte 0")
            y += 20
        size = _size(member, types)
        svg.cell(x + at % 8 * _BYTE, y, size * _BYTE, f"{member.name}")
        at += size
    svg.cell(x + at % 8 * _BYTE, y, (8 - at % 8) * _BYTE, f"empty to byte {2 * line}", kind="empty")
    y += 56
    svg.text(x, y - 8, f"byte {2 * line}")
    for number in range(3):
        svg.cell(x + number * 84, y, 84, f"desc {number}", kind="other")
    svg.cell(x + 252, y, 84, "…", kind="other")
    return y + 30


def _descriptor_size(header: headers.Header, types: dict) -> int:
    return sum(_size(member, types) for member in header["memif_desc_t"].members)


def _descriptor(svg: Svg, header: headers.Header, types: dict, x: int, y: int) -> None:
    at = 0
    for member in header["memif_desc_t"].members:
        size = _size(member, types)
        row, column = divmod(at, 8)
        kind = "empty" if member.name == "reserved" else ""
        svg.cell(
            x + column * _BYTE, y + row * 34, size * _BYTE, f"{member.name} {8 * size}", kind=kind
        )
        at += size


def regions() -> str:
    """What a slave of ours shares, with one ring each way, in both versions."""
    layout = _control_plane("regions").Layout
    svg = Svg(820, 270, "Regions of shared memory")
    for x, version in ((30, 256), (430, 512)):
        made = layout(version, 1, 1, 10, 2048)
        svg.text(x, 30, f"version {version}", bold=True)
        y = 60
        for region, size in enumerate(made.sizes):
            svg.text(x, y, f"region {region}, {size} bytes")
            for offset, label, kind in sorted(_parts(made, region)):
                y += 34
                svg.text(x + 86, y - 2, str(offset), anchor="end")
                svg.cell(x + 96, y - 22, 240, label, kind=kind)
            y += 44
    return svg.done()


def _parts(made: Any, region: int) -> list[tuple[int, str, str]]:
    parts = []
    for direction, places in (("S2M", made.s2m), ("M2S", made.m2s)):
        for index, place in enumerate(places):
            if place.region == region:
                parts.append((place.offset, f"ring {direction} {index}", "other"))
            if place.buffer_region == region:
                parts.append((place.buffer_offset, f"1024 buffers of {direction} {index}", ""))
    return parts


def indices() -> str:
    """Whose slots are whose, by head and tail."""
    svg = Svg(820, 400, "Head and tail")
    rows = [
        (
            "slave to master, both versions",
            "packets, for the master to read",
            "tail: the master has read up to here",
            "head: the slave has filled up to here",
        ),
        (
            "master to slave, version 256",
            "packets, for the slave to read",
            "tail: the slave has read up to here",
            "head: the master has filled up to here",
        ),
        (
            "master to slave, version 512",
            "empty buffers, for the master to fill",
            "tail: the master has filled up to here",
            "head: the slave has posted up to here",
        ),
    ]
    for number, (title, between, tail, head) in enumerate(rows):
        y = 30 + number * 125
        svg.text(30, y, title, bold=True)
        for slot in range(16):
            svg.cell(30 + slot * 47, y + 34, 47, str(slot), kind="" if 4 <= slot < 11 else "empty")
        svg.text(30 + 4 * 47, y + 26, between)
        svg.arrow(30 + 4 * 47, y + 82, 30 + 4 * 47, y + 64)
        svg.text(30 + 4 * 47 + 8, y + 82, tail)
        svg.arrow(30 + 11 * 47, y + 82, 30 + 11 * 47, y + 64)
        svg.text(30 + 11 * 47 + 8, y + 82, head)
    return svg.done()


def ways() -> str:
    """The three ways into the library, and what they share."""
    svg = Svg(820, 400, "Three ways in, one core")
    left, width, gap = 30, 240, 20
    ways_in = [
        ("C program, API 1.0", "libmemif.so.0"),
        ("C program, API 4.0", "libmemif4/libmemif.so"),
        ("Python program", "libmemif_py"),
    ]
    for number, (program, library) in enumerate(ways_in):
        x = left + number * (width + gap)
        svg.cell(x, 30, width, program, kind="empty")
        svg.arrow(x + width / 2, 60, x + width / 2, 90)
        svg.cell(x, 90, width, library)
        svg.arrow(x + width / 2, 120, x + width / 2, 155)
    half = (3 * width + 2 * gap) / 2
    planes = [
        ("data path, in C: packets", "shared memory: rings, buffers"),
        ("control plane, in Python: connections", "unix socket: handshake, descriptors"),
    ]
    for number, (plane, medium) in enumerate(planes):
        x = left + number * half
        svg.cell(x, 155, half, plane, kind="other")
        for y in (185, 265):
            svg.arrow(x + half / 2, y + 25, x + half / 2, y)
            svg.arrow(x + half / 2, y + 5, x + half / 2, y + 50)
        svg.cell(x + 40, 235, half - 80, medium, kind="empty")
    svg.cell(left, 315, 2 * half, "peer: VPP, DPDK, or any other memif program")
    svg.text(
        left,
        375,
        "The master listens on the socket. The slave connects and provides the memory.",
    )
    return svg.done()


DRAWINGS = {"handshake": handshake, "states": states, "ring": ring} | {
    "regions": regions,
    "indices": indices,
    "ways": ways,
    **structure.DRAWINGS,
}


def main() -> None:
    """Write all drawings."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
