# SPDX-License-Identifier: Apache-2.0
"""A fuzzing target: the input is the bytes that a peer sends to a master or to a slave.

Whatever the peer sends, the state machine answers with actions or with the protocol's own errors,
never loses a descriptor, and is in one of its states. tests/hostile/test_fuzz.py calls `run` with
many inputs. As a program, this file runs under atheris, guided by coverage, for as long as its
options say.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import SimpleNamespace

from libmemif_py.control import actions, handshake, wire
from libmemif_py.control.actions import HandshakeMisuse, ProtocolError
from libmemif_py.control.handshake import MasterHandshake, SlaveHandshake

_VERSIONS = (wire.VERSION_1, wire.VERSION_2)


class _Input:
    """Numbers from bytes; zeroes after the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece.ljust(count, b"\0")

    def number(self, count: int = 1) -> int:
        return int.from_bytes(self.take(count), "little")


def _datagram(source: _Input) -> tuple[bytes, int]:
    """A message of any type with a few odd bytes, or any bytes; and its number of descriptors."""
    shape = source.number()
    fds = (0, 0, 1, 2)[shape & 3]
    if shape & 4:
        return source.take(source.number(2) % 300), fds
    message = bytearray(wire.MESSAGE_SIZE)
    message[0] = source.number() % 10
    head = source.take(source.number() % 40)
    message[2 : 2 + len(head)] = head
    if shape & 8:  # most fields are small, and good versions are rare
        message[2:4] = _VERSIONS[shape >> 4 & 1].to_bytes(2, "little")
        fds = int(message[0] in (wire.AddRegion.type_number, wire.AddRing.type_number))
    return bytes(message), fds


def _terms(source: _Input) -> SimpleNamespace:
    bits = source.number()
    return SimpleNamespace(
        app_name=b"app",
        if_name=b"if",
        interface_id=0,
        mode=bits & 1,
        secret=b"\1" if bits & 2 else b"",
        num_s2m_rings=bits >> 2 & 3,
        num_m2s_rings=1 + (bits >> 4 & 1),
        log2_ring_size=10,
        min_version=wire.VERSION_1,
        max_version=_VERSIONS[bits >> 5 & 1],
    )


class _Shell:
    """Executes the actions of a machine, with tokens in place of descriptors."""

    def __init__(self, machine: MasterHandshake | SlaveHandshake, source: _Input) -> None:
        self.machine = machine
        self.source = source
        self.given: Counter = Counter()
        self.returned: Counter = Counter()
        self.own = 0

    def perform(self, answers: list) -> None:
        for action in answers:
            if isinstance(action, actions.Send):
                wire.decode(action.data, self.machine.version or wire.VERSION_2)
            elif isinstance(action, actions.TakeRegion | actions.TakeRing):
                self.returned[action.fd] += 1
            elif isinstance(action, actions.Establish):
                self.establish()
            elif isinstance(action, actions.Prepare):
                self.offer(action)

    def establish(self) -> None:
        machine = self.machine
        for rings in (machine.s2m, machine.m2s):
            _require(sorted(rings) == list(range(len(rings))), "rings are complete")
            _require(all(ring.region in machine.regions for ring in rings.values()), "regions")
        if self.source.number() & 1:
            self.perform(machine.accept())
        else:
            self.perform(machine.refuse(ProtocolError("COOKIE", "wrong")))

    def offer(self, action: actions.Prepare) -> None:
        regions = [(self.source.number(8), object()) for _ in range(1 + self.source.number() % 3)]
        s2m = [(0, self.source.number(4), object()) for _ in range(action.num_s2m)]
        m2s = [(0, self.source.number(4), object()) for _ in range(action.num_m2s)]
        self.perform(self.machine.offer(regions, s2m, m2s))

    def receive(self, data: bytes, fds: list[object]) -> None:
        self.given.update(fds)
        try:
            self.perform(self.machine.receive(data, fds))
        except ProtocolError as error:
            self.returned.update(error.fds)
            _require(self.machine.state == handshake.CLOSED, "closed by an error")
            self.perform(self.machine.refuse(error))
        _require(self.returned == self.given, "each descriptor comes out once")


def _require(condition: bool, promise: str) -> None:
    if not condition:
        raise AssertionError(f"does not hold: {promise}")


def _find(terms: SimpleNamespace, wanted: int) -> SimpleNamespace:
    if wanted != terms.interface_id:
        raise ProtocolError("ID", f"no interface {wanted}")
    return terms


def _round_trip(data: bytes, version: int) -> None:
    try:
        message = wire.decode(data, version)
    except wire.WireError:
        return
    _require(wire.decode(wire.encode(message, version), version) == message, "round trip")


def run(data: bytes) -> str:
    """Run one input. Returns the last state of the machine."""
    source = _Input(data)
    terms = _terms(source)
    is_master = source.number() & 1
    machine = (
        MasterHandshake(b"app", lambda wanted: _find(terms, wanted))
        if is_master
        else SlaveHandshake(terms)
    )
    shell = _Shell(machine, source)
    if is_master:
        shell.perform(machine.start())
    number = 0
    while source and machine.state != handshake.CLOSED:
        datagram, count = _datagram(source)
        for version in _VERSIONS:
            _round_trip(datagram, version)
        shell.receive(datagram, [(number, i) for i in range(count)])
        number += 1
    if machine.state == handshake.CLOSED:
        try:
            machine.receive(bytes(wire.MESSAGE_SIZE), [])
        except HandshakeMisuse:
            return machine.state
        raise AssertionError("a closed machine takes messages")
    return machine.state


def main() -> None:
    """Run under atheris; the arguments are those of libFuzzer."""
    import atheris

    def one(data: bytes) -> None:
        run(data)

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
