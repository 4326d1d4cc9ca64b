# SPDX-License-Identifier: Apache-2.0
"""A master and a slave against each other.

`connect` plays one handshake to its end. `explore` searches all orders in which messages arrive, a
caller goes on, gives up, or is gone without a word.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from . import claims, roles
from .claims import ClaimError, check_reason, described, require
from .explorer import Found
from .protocol import LARGEST_LOG2, V1, V2, Answer, Fd, Listener, Offer, Terms
from .states import clone, frozen

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from .rules import Rules

VERSIONS = ((V1, V1), (V1, V2), (V2, V2))
MASTER, SLAVE = "master", "slave"
OTHER = {MASTER: SLAVE, SLAVE: MASTER}
MOST_WAITING = 2  # an answer and a DISCONNECT


class Pair(NamedTuple):
    """Settings of both sides. The listener has one interface, and HELLO may be wider than it."""

    listener: Listener
    slave: Terms

    @property
    def interface(self) -> Terms:
        """The one that the slave names."""
        return self.listener.find(self.slave.interface_id)

    def agree(self) -> bool:
        """Whether these two must connect."""
        hello, own, other = self.listener, self.interface, self.slave
        common = [
            v
            for v in (V1, V2)
            if hello.min_version <= v <= hello.max_version
            and other.min_version <= v <= other.max_version
        ]
        if not common or not own.min_version <= max(common) <= own.max_version:
            return False
        s2m = min(other.num_s2m_rings, hello.num_s2m_rings) <= own.num_s2m_rings
        m2s = min(other.num_m2s_rings, hello.num_m2s_rings) <= own.num_m2s_rings
        big_enough = other.log2_ring_size >= (1 if max(common) == V1 else 0)
        admitted = own.secret in (b"", other.secret)
        return s2m and m2s and big_enough and admitted and own.mode == other.mode

    def shown(self) -> list[str]:
        """For a counterexample."""
        return [f"{self.listener}", f"{self.slave}"]


def _pair(hello: tuple[int, int], interface: Terms, slave: Terms, told: bool) -> Pair:
    listener = Listener(((7, interface),), min_version=hello[0], max_version=hello[1])
    if told:
        rings = (interface.num_s2m_rings, interface.num_m2s_rings)
        listener = replace(listener, num_s2m_rings=rings[0], num_m2s_rings=rings[1])
    return Pair(listener, slave)


def _ranges(interface: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Of a HELLO that has to allow what this interface allows."""
    return (r for r in VERSIONS if r[0] <= interface[0] and interface[1] <= r[1])


def settings(*, full: bool) -> Iterator[Pair]:
    """Versions, sizes and few rings in all combinations; modes and secrets; many rings."""
    sizes = range(LARGEST_LOG2 + 1) if full else (0, 1, LARGEST_LOG2)
    few = list(product((1, 2), repeat=2)) if full else [(1, 1), (2, 1), (1, 2)]
    for own, other, log2 in product(VERSIONS, VERSIONS, sizes):
        for mine, theirs, told in product(few, few, (False, True)):
            interface = Terms(
                num_s2m_rings=mine[0],
                num_m2s_rings=mine[1],
                min_version=own[0],
                max_version=own[1],
            )
            slave = Terms(
                num_s2m_rings=theirs[0],
                num_m2s_rings=theirs[1],
                log2_ring_size=log2,
                min_version=other[0],
                max_version=other[1],
            )
            for hello in _ranges(own):
                yield _pair(hello, interface, slave, told)
    secrets = (b"", b"right", b"wrong", b"r" * 24)
    for modes, words in product(product((0, 1, 2), repeat=2), product(secrets, repeat=2)):
        interface = Terms(mode=modes[0], secret=words[0])
        yield _pair((V1, V2), interface, Terms(mode=modes[1], secret=words[1]), False)
    for count in range(1, 257) if full else (255, 256):
        for s2m, m2s, version in product((1, count), (1, count), (V1, V2)):
            slave = Terms(num_s2m_rings=s2m, num_m2s_rings=m2s, max_version=version)
            interface = Terms(num_s2m_rings=s2m, num_m2s_rings=m2s)
            yield _pair((V1, V2), interface, slave, True)


class _Side:
    """A machine and its caller. `over`: the caller has closed the connection."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.over = False
        self.waiting: list[tuple[bytes, tuple[Fd, ...]]] = []

    def value(self) -> Hashable:
        machine = None if self.over else frozen(self.machine)
        return (machine, tuple(self.waiting))

    def copy(self) -> _Side:
        made = _Side(self.machine if self.over else clone(self.machine))
        made.over = self.over
        made.waiting = list(self.waiting)
        return made


@dataclass
class _Link:
    """Both sides, and what the master has taken."""

    rules: Rules
    pair: Pair
    sides: dict[str, _Side]

    def copy(self) -> _Link:
        return _Link(self.rules, self.pair, {n: side.copy() for n, side in self.sides.items()})

    def value(self) -> Hashable:
        return tuple(side.value() for side in self.sides.values())

    def states(self) -> tuple[str, str]:
        master, slave = ("over" if s.over else s.machine.state for s in self.sides.values())
        return (master, slave)

    def steps(self) -> list[str]:
        """What happens by itself."""
        found = []
        for name, side in self.sides.items():
            if side.over:
                continue
            if side.waiting:
                found.append(f"{name} receives")
            elif self.sides[OTHER[name]].over:
                found.append(f"{name} sees the end of the stream")
            if side.machine.state == "PREPARING":
                found.append("slave offers")
            if side.machine.state == "MAPPING":
                found.append("master accepts")
        return found

    def endings(self) -> list[str]:
        """What a caller may do at any time."""
        open_ = [name for name, side in self.sides.items() if not side.over]
        return [f"{name} {what}" for name in open_ for what in ("disconnects", "is gone")]

    def do(self, step: str) -> list[Any]:
        """Take a step; returns the actions."""
        name, _, what = step.partition(" ")
        side = self.sides[name]
        actions: list[Any] = []
        try:
            if what == "receives":
                actions = side.machine.receive(*side.waiting.pop(0))
            elif what == "offers":
                actions = side.machine.offer(*self._offer().arguments())
            elif what == "accepts":
                actions = side.machine.accept()
            elif what == "disconnects":
                actions = side.machine.disconnect("handshake timed out")
            self._perform(name, actions)
        except self.rules.actions.ProtocolError as error:
            require(not self.pair.agree(), claims.AGREE, f"{name} refuses: {error}")
            check_reason(self.rules, clone(side.machine), error)
            self._perform(name, side.machine.refuse(error))
        except ClaimError:
            raise
        except Exception as error:
            raise ClaimError(claims.EXCEPTIONS, f"{name}: {error!r}") from error
        if what in ("disconnects", "is gone", "sees the end of the stream"):
            self._end(side)
        if not side.over and side.machine.state == "CLOSED":
            self._end(side)
        return actions

    def _end(self, side: _Side) -> None:
        side.over = True
        side.waiting.clear()

    def _perform(self, name: str, actions: list[Any]) -> None:
        other = self.sides[OTHER[name]]
        for action in actions:
            if isinstance(action, self.rules.actions.Send) and not other.over:
                fds = () if action.fd is None else (action.fd,)
                other.waiting.append((action.data, fds))

    def _offer(self) -> Offer:
        hello, own = self.pair.listener, self.pair.slave
        counts = (
            min(own.num_s2m_rings, hello.num_s2m_rings),
            min(own.num_m2s_rings, hello.num_m2s_rings),
        )
        s2m = tuple(i % 2 for i in range(counts[0]))
        return Offer((4096, 2**64 - 1), s2m, tuple(1 - i % 2 for i in range(counts[1])))


def _new_link(rules: Rules, pair: Pair) -> _Link:
    master = _Side(roles.master(rules, pair.listener))
    slave = _Side(rules.handshake.SlaveHandshake(pair.slave))
    link = _Link(rules, pair, {MASTER: master, SLAVE: slave})
    link._perform(MASTER, master.machine.start())
    return link


def connect(rules: Rules, pair: Pair) -> int:
    """Play one handshake. Returns the number of steps."""
    link = _new_link(rules, pair)
    taken: list[Answer] = []
    done: list[str] = []
    try:
        while steps := link.steps():
            done.append(steps[0])
            actions = [described(a, link.sides[MASTER].machine.version) for a in link.do(steps[0])]
            taken += [a for a in actions if a.action in ("TakeRegion", "TakeRing")]
        _check_end(link, taken)
    except ClaimError as error:
        error.path = (*pair.shown(), *done)
        raise
    return len(done)


def _check_end(link: _Link, taken: list[Answer]) -> None:
    if not link.pair.agree():
        require(link.states() == ("over", "over"), claims.AGREE, f"{link.states()}")
        return
    require(link.states() == ("CONNECTED", "CONNECTED"), claims.AGREE, f"{link.states()}")
    regions, s2m, m2s = link._offer().arguments()
    log2 = link.pair.slave.log2_ring_size
    expected = [Answer("TakeRegion", (i, size, fd)) for i, (size, fd) in enumerate(regions)]
    for is_s2m, rings in ((True, s2m), (False, m2s)):
        for i, (region, offset, fd) in enumerate(rings):
            ring = (is_s2m, i, region, offset, log2, 0)
            expected.append(Answer("TakeRing", (ring, fd)))
    require(taken == expected, claims.BALANCED, "what was offered is not what was taken")
    master, slave = (side.machine for side in link.sides.values())
    require(master.version == slave.version, claims.AGREE, "the versions")
    for machine in (master, slave):
        other = slave if machine is master else master
        require(other.state == machine.state, claims.AGREE, "the states")


def connect_all(rules: Rules, *, full: bool) -> Found:
    """Play a handshake for all settings."""
    found = Found()
    for pair in settings(full=full):
        found.transitions += connect(rules, pair)
    return found


class _JointNode(NamedTuple):
    link: _Link
    path: tuple[str, ...]


def explore(rules: Rules, pair: Pair) -> Found:
    """Search all interleavings of one pair."""
    found = Found()
    first = _new_link(rules, pair)
    graph: dict[Hashable, set[Hashable]] = {first.value(): set()}
    waiting = deque([_JointNode(first, ())])
    while waiting:
        link, path = waiting.popleft()
        found.states += 1
        found.depth = max(found.depth, len(path))
        steps = link.steps()
        try:
            _check_joint(link, steps)
            for step in [*steps, *link.endings()]:
                after = link.copy()
                after.do(step)
                found.transitions += 1
                value = after.value()
                if value not in graph:
                    graph[value] = set()
                    waiting.append(_JointNode(after, (*path, step)))
                graph[link.value()].add(value)
        except ClaimError as error:
            error.path = (*pair.shown(), *path)
            raise
    require(_ends(graph), claims.DEADLOCK, "two machines go on for ever")
    return found


def _ends(graph: dict[Hashable, set[Hashable]]) -> bool:
    """There is no circle, so each order of steps comes to an end."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError:
        return False
    return True


def _check_joint(link: _Link, steps: list[str]) -> None:
    states = link.states()
    if not steps:
        ends = [("CONNECTED", "CONNECTED"), ("over", "over")]
        require(states in ends, claims.DEADLOCK, f"{states}, and nothing more happens")
    if states == ("CONNECTED", "CONNECTED"):
        require(link.pair.agree(), claims.AGREE, "connected against the settings")
    longest = max(len(side.waiting) for side in link.sides.values())
    require(longest <= MOST_WAITING, claims.DEADLOCK, f"{longest} messages wait")


def explore_all(rules: Rules, *, full: bool) -> Found:
    """Search all interleavings of pairs that agree, and of pairs that do not."""
    found = Found()
    rings = ((1, 1), (2, 1), (3, 3)) if full else ((1, 1),)
    for own, other, (s2m, m2s) in product(VERSIONS, VERSIONS, rings):
        interface = Terms(
            num_s2m_rings=s2m, num_m2s_rings=m2s, min_version=own[0], max_version=own[1]
        )
        for more in (0, 1):
            slave = Terms(
                num_s2m_rings=s2m + more,
                num_m2s_rings=m2s,
                min_version=other[0],
                max_version=other[1],
            )
            for told in (False, True):
                found.add(explore(rules, _pair(own, interface, slave, told)))
    return found
