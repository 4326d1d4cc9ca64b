# SPDX-License-Identifier: Apache-2.0
"""Every state of one machine that any sequence of events reaches, and every event in each.

Breadth first, so the first sequence that breaks a claim is a shortest one. The search ends when an
event leads to no new state any more: it then holds for sequences of any length.

A caller that fails at one of the actions drops the rest and ends the connection. For the machine
that is `disconnect` in the state behind the event, which is an event in every state. The end of the
stream and a socket that fails are no event: the caller drops the machine as it is, so it is enough
that no state holds a descriptor of the peer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from . import claims
from .claims import ClaimError, check_reason, described, require
from .protocol import SILENT, Master, Misused, Refused, Slave, wanted_fd
from .states import clone, descriptors, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from .alphabet import Letter
    from .protocol import Answer
    from .rules import Rules

PEER, OWN = "peer", "own"
MISUSED = "misused"


class Edge(NamedTuple):
    """A change of state, or an answer, as it is drawn. `takes` is a message or a call."""

    before: str
    takes: str
    after: str
    sends: tuple[str, ...]


class Event(NamedTuple):
    """Something that happens to a machine and to its reference."""

    name: str
    origin: str
    label: str
    do: Callable[[Any], list[Any]]
    expected: Callable[[Any], tuple[Any, list[Answer]]]
    letter: Letter | None = None


@dataclass
class Found:
    """What a search has seen."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    edges: set[Edge] = field(default_factory=set)

    def add(self, other: Found) -> None:
        """Another search."""
        self.states += other.states
        self.transitions += other.transitions
        self.depth = max(self.depth, other.depth)
        self.edges |= other.edges


class _Node:
    __slots__ = ("depth", "event", "exits", "machine", "next", "parent", "reference")

    def __init__(self, machine: Any, reference: Any, parent: _Node | None, event: str) -> None:
        self.machine = machine
        self.reference = reference
        self.parent = parent
        self.event = event
        self.depth: int = parent.depth + 1 if parent else 0
        self.next: set[_Node] = set()
        self.exits: set[str] = set()

    def path(self) -> list[str]:
        before = self.parent.path() if self.parent else []
        return [*before, self.event] if self.event else before


class Explorer:
    """The search from one machine that is new."""

    def __init__(
        self,
        rules: Rules,
        letters: Iterable[Letter],
        machine: Any,
        reference: Master | Slave,
        calls: Callable[[Any], Iterable[Event]],
    ) -> None:
        """`calls` gives the events of our own side, for a reference."""
        self._rules = rules
        self._peer_events = [self._arrival(letter) for letter in letters]
        self._calls = calls
        self._nodes: dict[Hashable, _Node] = {}
        self._waiting: deque[_Node] = deque()
        self.found = Found()
        self._note(machine, reference, None, "")

    def run(self) -> Found:
        """Search to the end. Raises ClaimError."""
        while self._waiting:
            node = self._waiting.popleft()
            before = frozen(node.machine)
            for event in (*self._peer_events, *self._calls(node.reference)):
                self._checked(node, event)
            same = frozen(node.machine) == before
            _require_at(node, same, claims.MISUSE)
        self._check_exits()
        self._check_reachable()
        return self.found

    def _arrival(self, letter: Letter) -> Event:
        return Event(
            letter.shown(),
            PEER,
            letter.name.partition("(")[0],
            lambda machine: machine.receive(letter.data, letter.fds),
            lambda reference: reference.receive(letter.data, letter.fds),
            letter,
        )

    def _checked(self, node: _Node, event: Event) -> None:
        try:
            self._step(node, event)
        except ClaimError as error:
            error.path = (*node.path(), event.name)
            raise

    def _step(self, node: _Node, event: Event) -> None:
        self.found.transitions += 1
        letter = event.letter
        fds = letter.fds if letter else ()
        if letter and not fds:
            self._check_wanted_fd(node, letter)
        expected = self._expected(event, node.reference)
        if expected == MISUSED:
            got = self._outcome(event, node.machine, fds)
            require(got == MISUSED, claims.CONFORMS, f"{got}, expected {MISUSED}")
            state = node.machine.state
            require(state == node.reference.state, claims.MISUSE, f"now in state {state}")
            return  # `run` looks whether something else changed
        machine = clone(node.machine)
        got = self._outcome(event, machine, fds)
        if isinstance(expected, str):
            require(got == expected, claims.CONFORMS, f"{got}, expected {expected}")
            after = node.reference.closed()
        else:
            after, answers = expected
            require(got == answers, claims.CONFORMS, f"{got}, expected {answers}")
            self._check_noted(machine, after)
            self._note_edge(event, node.machine.state, machine.state, answers)
            if after.state == "CLOSED":
                node.exits.add(event.origin)
        reached = self._note(machine, after, node, event.name)
        node.next.add(reached)
        if letter and not isinstance(expected, str) and fds and fds[0].kind != letter.kind:
            # The caller has taken the descriptor, closes it, and tells the peer.
            self._refuse_by_caller(reached, f"{event.name}, refused by the caller")

    def _expected(self, event: Event, reference: Any) -> str | tuple[Any, list[Answer]]:
        try:
            return event.expected(reference)
        except Refused as refused:
            return refused.code
        except Misused:
            return MISUSED

    def _outcome(self, event: Event, machine: Any, fds: tuple[Any, ...]) -> str | list[Answer]:
        """The answers, the code of a refusal, or MISUSED."""
        actions = self._rules.actions
        try:
            answers = [described(action, machine.version) for action in event.do(machine)]
        except actions.ProtocolError as error:
            came_out = tuple(error.fds)
            require(came_out == fds, claims.BALANCED, f"{came_out} came out of {fds}")
            require(machine.state == "CLOSED", claims.ENDS, f"refused in {machine.state}")
            check_reason(self._rules, machine, error)
            return str(error.code)
        except actions.HandshakeMisuse:
            return MISUSED
        except ClaimError:
            raise
        except Exception as error:
            raise ClaimError(claims.EXCEPTIONS, repr(error)) from error
        if event.origin == PEER:
            taken = tuple(a.values[-1] for a in answers if a.action in ("TakeRegion", "TakeRing"))
            require(taken == fds, claims.BALANCED, f"{taken} were taken of {fds}")
        return answers

    def _check_wanted_fd(self, node: _Node, letter: Letter) -> None:
        """What an untrusted peer sends is received by this answer: it must be that of `receive`."""
        reference = node.reference
        expected = wanted_fd(reference, node.machine.version, letter.data)
        try:
            kind = node.machine.wanted_fd(letter.data)
        except Exception as error:
            raise ClaimError(claims.EXCEPTIONS, f"wanted_fd: {error!r}") from error
        got = kind.label if kind else None
        require(got == expected, claims.CONFORMS, f"wants {got}, expected {expected}")

    def _check_noted(self, machine: Any, reference: Any) -> None:
        """What the caller reads from a machine."""
        got, expected = machine.state, reference.state
        require(got == expected, claims.CONFORMS, f"in {got}, expected {expected}")
        if expected == "CLOSED":
            return
        require(machine.version == reference.version, claims.CONFORMS, "the version")
        if isinstance(reference, Master):
            require(machine.regions == dict(reference.regions), claims.CONFORMS, "the regions")
            rings = [*machine.s2m.values(), *machine.m2s.values()]
            noted = frozenset(tuple(getattr(r, s) for s in r.__slots__) for r in rings)
            require(noted == reference.rings, claims.CONFORMS, "the rings")
            if expected in ("MAPPING", "CONNECTED"):
                require(reference.is_complete(), claims.CONFORMS, "an offer with gaps")

    def _refuse_by_caller(self, node: _Node, name: str) -> None:
        machine = clone(node.machine)
        check_reason(self._rules, machine, self._rules.actions.ProtocolError("BAD_FD", "bad fd"))
        closed = self._note(machine, node.reference.closed(), node, name)
        node.next.add(closed)

    def _note(self, machine: Any, reference: Any, parent: _Node | None, event: str) -> _Node:
        value = frozen(machine)
        known = self._nodes.get((value, reference))
        if known is not None:
            return known
        held = {fd for fd in descriptors(value) if fd.number < 100}
        require(not held, claims.BALANCED, f"remembered: {held}")
        node = self._nodes[value, reference] = _Node(machine, reference, parent, event)
        self._waiting.append(node)
        self.found.states += 1
        self.found.depth = node.depth
        return node

    def _note_edge(self, event: Event, before: str, after: str, answers: list[Answer]) -> None:
        sends = tuple(answer.values[0] for answer in answers if answer.action == "Send")
        self.found.edges.add(Edge(before, event.label, after, sends))

    # ---- the graph as a whole

    def _check_exits(self) -> None:
        for node in self._nodes.values():
            if node.machine.state == "CLOSED":
                is_end = all(after.machine.state == "CLOSED" for after in node.next)
                _require_at(node, is_end, claims.ENDS)
                continue
            wanted = {OWN} if node.machine.state in SILENT else {OWN, PEER}
            _require_at(node, node.exits == wanted, claims.EXITS)

    def _check_reachable(self) -> None:
        before: dict[_Node, list[_Node]] = {}
        for node in self._nodes.values():
            for after in node.next:
                before.setdefault(after, []).append(node)
        good = {n for n in self._nodes.values() if n.machine.state == "CONNECTED"}
        waiting = list(good)
        while waiting:
            for node in before.get(waiting.pop(), ()):
                if node not in good:
                    good.add(node)
                    waiting.append(node)
        for node in self._nodes.values():
            reference = node.reference
            hopeless = reference.state == "CLOSED" or (
                isinstance(reference, Master) and reference.is_hopeless()
            )
            _require_at(node, (node in good) != hopeless, claims.REACHES)


def _require_at(node: _Node, holds: bool, claim: str) -> None:
    if not holds:
        raise ClaimError(claim, f"in state {node.machine.state}", node.path())
