# SPDX-License-Identifier: Apache-2.0
"""A fuzzing target: the input is the bytes that a peer sends to a master or to a slave.

Whatever the peer sends, the state machine answers with actions or with the protocol's own errors,
never loses a descriptor, and is in one of its states. tests/hostile/test_fuzz.py calls `run` with
many inputs. As a program, this file runs under atheris, guided by coverage, for as long as its
options say.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from types import SimpleNamespace

if __name__ == "__main__":
    # What is instrumented guides the fuzzer: the package, before it is imported.
    import atheris

    with atheris.instrument_imports(include=["libmemif_py"]):
        importlib.import_module("libmemif_py.control.handshake")

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


def _expected(machine: MasterHandshake | SlaveHandshake, terms: SimpleNamespace) -> wire.Message:
    """The message with which an honest peer goes on."""
    if isinstance(machine, SlaveHandshake):
        return {
            handshake.WAIT_HELLO: wire.Hello(b"app", *_VERSIONS, 255, 255, 255, 14),
            handshake.INIT_SENT: wire.Ack(),
            handshake.OFFERING: wire.Ack(),
            handshake.CONNECT_SENT: wire.Connected(b"if"),
        }.get(machine.state, wire.Disconnect(0, b"over"))
    if machine.state == handshake.HELLO_SENT:
        return wire.Init(terms.max_version, 0, terms.mode, terms.secret, b"app")
    if machine.state != handshake.ADDING:
        return wire.Disconnect(0, b"over")
    if not machine.regions:
        return wire.AddRegion(0, 4096)
    for s2m, rings, wanted in (
        (True, machine.s2m, terms.num_s2m_rings),
        (False, machine.m2s, terms.num_m2s_rings),
    ):
        if len(rings) < wanted:
            return wire.AddRing(s2m, len(rings), 0, 0, 10, 0)
    return wire.Connect(b"if")


def _expected_datagram(
    source: _Input, machine: MasterHandshake | SlaveHandshake, terms: SimpleNamespace
) -> tuple[bytes, int]:
    """What an honest peer sends, but maybe one byte of it."""
    expected = _expected(machine, terms)
    message = bytearray(wire.encode(expected, machine.version or wire.VERSION_2))
    odd = source.number()
    if odd >= wire.MESSAGE_SIZE:
        message[odd % wire.MESSAGE_SIZE] = source.number()
    return bytes(message), int(isinstance(expected, wire.AddRegion | wire.AddRing))


def _datagram(
    source: _Input, machine: MasterHandshake | SlaveHandshake, terms: SimpleNamespace
) -> tuple[bytes, int]:
    """A message of any type with a few odd bytes, or any bytes; and its number of descriptors."""
    shape = source.number()
    if shape & 32:
        return _expected_datagram(source, machine, terms)
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


def run(data: bytes) -> list[str]:
    """Run one input. Returns the states of the machine after each message."""
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
    states = [machine.state]
    while source and machine.state != handshake.CLOSED:
        datagram, count = _datagram(source, machine, terms)
        _round_trip(datagram, wire.VERSION_2)
        if datagram[:1] == bytes([wire.AddRing.type_number]):  # the others are always the same
            _round_trip(datagram, wire.VERSION_1)
        shell.receive(datagram, [(len(states), i) for i in range(count)])
        states.append(machine.state)
    if machine.state == handshake.CLOSED:
        try:
            machine.receive(bytes(wire.MESSAGE_SIZE), [])
        except HandshakeMisuse:
            return states
        raise AssertionError("a closed machine takes messages")
    return states


def main() -> None:
    """Run under atheris; the arguments are those of libFuzzer."""

    def one(data: bytes) -> None:
        run(data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
