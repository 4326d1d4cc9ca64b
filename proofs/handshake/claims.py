# SPDX-License-Identifier: Apache-2.0
"""What is claimed, and the counterexample when a claim does not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .protocol import SIZE, Answer, Refused, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rules import Rules

CONFORMS = "a machine answers as the protocol says"
EXCEPTIONS = "no exception but ProtocolError"
REASONS = "every refusal has a reason, which DISCONNECT carries"
BALANCED = "each descriptor that came in comes out once, and none is remembered"
MISUSE = "a call at the wrong time changes nothing"
ENDS = "a closed machine stays closed"
EXITS = "every state can be left"
REACHES = "CONNECTED can be reached from every open state that is not hopeless"
AGREE = "both roles reach CONNECTED exactly if their settings agree"
DEADLOCK = "two machines never wait for each other"
DRAWN = "the states that are drawn are those that are reached"

DISCONNECT_SIZE = 96


class ClaimError(Exception):
    """A claim does not hold. `path` is the shortest sequence of events that shows it."""

    def __init__(self, claim: str, detail: str, path: Sequence[str] = ()) -> None:
        """`path` may be given later."""
        super().__init__(claim)
        self.claim = claim
        self.detail = detail
        self.path = tuple(path)

    def __str__(self) -> str:
        """For the terminal."""
        steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(self.path, 1))
        return f"does not hold: {self.claim}\n{self.detail}\nafter:{steps or ' nothing'}"


def require(holds: bool, claim: str, detail: str) -> None:
    """Raise ClaimError unless it holds."""
    if not holds:
        raise ClaimError(claim, detail)


def described(action: Any, version: int) -> Answer:
    """An action of a machine, as the reference has it."""
    name = type(action).__name__
    values = tuple(getattr(action, field) for field in action.__slots__)
    if name == "Send":
        data, fd = values
        try:
            label, fields = unpack(data, version)
        except Refused as error:
            text = f"sent {len(data)} bytes that are no message: {error.code}"
            raise ClaimError(CONFORMS, text) from None
        values = (label, fields, fd)
    elif name == "TakeRing":
        ring, fd = values
        values = (tuple(getattr(ring, field) for field in ring.__slots__), fd)
    return Answer(name, values)


def check_reason(rules: Rules, machine: Any, error: Any) -> None:
    """Refuse a peer, and look at what it is told."""
    require(bool(error.reason.strip()), REASONS, f"{error.code} has no reason")
    told = [described(action, machine.version) for action in machine.refuse(error)]
    text = error.reason.encode()[:DISCONNECT_SIZE]
    expected = [Answer("Send", ("DISCONNECT", (0, text), None))]
    require(told == expected, REASONS, f"{told}, expected {expected}")
    closed = rules.handshake.CLOSED
    require(machine.state == closed, ENDS, f"refused in state {machine.state}")
    require(SIZE == rules.wire.MESSAGE_SIZE, CONFORMS, "size of a message")
