# SPDX-License-Identifier: Apache-2.0
"""A receiver that lags behind pauses the peer's signals (native/python/pause.h), and nothing else
changes: the descriptor is readable while packets wait, and no packet goes unnoticed."""

import os
import select
import subprocess
import sys

import pytest
from support import odd_sender, raw_slave
from support.builds import SUPPORT
from support.pairs import TIMEOUT, each_kind, pair
from support.programs import OTHER_ROLE

from libmemif_py import Interface, Timeout
from libmemif_py.control import reactor

MANY = 40
ROUNDS = 150
PAUSE_FROM = 16
MASK_INT, PAUSED = 1, 0x2000
FLAGS, SENDER = 4, 16  # in the header of a ring
FENCES = 1


def signals(sender: Interface) -> int:
    return sender.counters().tx[0].interrupts


def send(sender: Interface, count: int) -> int:
    """One by one. Returns how many signals that took."""
    before = signals(sender)
    for _ in range(count):
        sender.send(b"packet", 0)
    return signals(sender) - before


def is_readable(interface: Interface) -> bool:
    return select.select([interface], [], [], 0)[0] != []


def drop_the_first_signal(interface: Interface) -> None:
    """That of the link."""
    with pytest.raises(Timeout):
        interface.recv(0)


@pytest.fixture
def many_slots(monkeypatch):
    """Rings of raw slaves that hold enough for a pause."""
    monkeypatch.setattr(raw_slave, "SLOTS_LOG2", 6)
    monkeypatch.setattr(raw_slave, "SLOTS", 64)
    monkeypatch.setattr(raw_slave, "M2S", 128 + 16 * 64)
    return raw_slave.SIZE * 8


def flags(slave: raw_slave.RawSlave) -> int:
    at = raw_slave.S2M + FLAGS
    return int.from_bytes(slave.memory[at : at + 2], "little")


def copies(receiver: Interface) -> list[bytes]:
    with receiver.rx_burst(5, 0) as burst:
        return [bytes(packet) for packet in burst]


RECEIVE = {
    "recv": lambda receiver: [receiver.recv(0)],
    "recv_burst": lambda receiver: receiver.recv_burst(5, 0),
    "rx_burst": copies,
    "any_queue": lambda receiver: [receiver.any_queue.recv(0)],
}
each_way = pytest.mark.parametrize("receive", RECEIVE.values(), ids=RECEIVE)


@each_kind
@each_way
def test_a_pause_lasts_until_a_call_finds_nothing(version, role, receive):
    with pair(version, role, ring_size=128) as (sender, receiver):
        drop_the_first_signal(receiver)
        assert send(sender, MANY) == MANY
        got = receive(receiver)
        assert send(sender, MANY) == 0
        while len(got) < 2 * MANY:
            assert is_readable(receiver)
            got += receive(receiver)
        assert got == [b"packet"] * 2 * MANY
        assert send(sender, 1) == 0
        assert is_readable(receiver)
        receive(receiver)
        with pytest.raises(Timeout):
            receive(receiver)
        assert not is_readable(receiver)
        assert send(sender, 1) == 1
        assert is_readable(receiver)


def test_few_packets_are_signalled_one_by_one():
    with pair(ring_size=128) as (sender, receiver):
        for _ in range(3):
            assert send(sender, PAUSE_FROM) == PAUSE_FROM
            for _ in range(PAUSE_FROM):
                receiver.recv(0)


def test_programs_that_look_at_the_mode_see_no_polling():
    with pair(ring_size=128) as (sender, receiver):
        send(sender, MANY)
        receiver.recv(0)
        assert send(sender, 1) == 0
        for interface, is_tx in (sender, 1), (receiver, 0):
            state = reactor.ffi.new("struct mif_queue_state *")
            assert not reactor.lib.mif_queue_look(interface._endpoint.handle, 0, is_tx, state)
            assert not state.polling


@pytest.mark.parametrize("modes", [("polling",), ("polling", "interrupt"), ("interrupt",)])
def test_a_mode_that_is_set_during_a_pause_holds(modes):
    with pair(ring_size=128) as (sender, receiver):
        send(sender, MANY)
        receiver.recv(0)
        for mode in modes:
            receiver.set_rx_mode(mode)
        left = MANY - 1
        while left:
            left -= len(receiver.recv_burst(7, 0))
        with pytest.raises(Timeout):
            receiver.recv(0)
        assert send(sender, 1) == (0 if modes[-1] == "polling" else 1)
        assert receiver.recv(0) == b"packet"


def test_a_filter_that_lets_nothing_pass_ends_a_pause():
    with pair(ring_size=128) as (sender, receiver):
        receiver.set_filter("icmp")
        send(sender, MANY)
        for _ in range(2):
            with pytest.raises(Timeout):
                receiver.recv(0)
        assert not is_readable(receiver)
        assert send(sender, 1) == 1


@pytest.mark.parametrize("mark", [0, FENCES, 2, 0xFFFFFFFF])
def test_only_a_sender_that_says_that_it_fences_is_paused(tmp_path, many_slots, mark):
    path = tmp_path / "socket"
    with (
        Interface(path, role="master") as receiver,
        raw_slave.RawSlave(path, size=many_slots) as slave,
    ):
        slave.connect()
        receiver.wait_connected(TIMEOUT)
        slave.write(raw_slave.S2M + SENDER, "I", mark)
        slave.send(MANY)
        receiver.recv(0)
        is_paused = mark == FENCES
        assert flags(slave) & (MASK_INT | PAUSED) == (MASK_INT | PAUSED if is_paused else 0)
        while receiver.rx_fill():
            receiver.recv(0)
        with pytest.raises(Timeout):
            receiver.recv(0)
        assert flags(slave) & (MASK_INT | PAUSED) == 0


@pytest.mark.parametrize("written", [0, MASK_INT, PAUSED, 0xFFFF])
def test_a_peer_that_writes_the_flags_during_a_pause_harms_nobody(tmp_path, many_slots, written):
    path = tmp_path / "socket"
    with (
        Interface(path, role="master") as receiver,
        raw_slave.RawSlave(path, size=many_slots) as slave,
    ):
        slave.connect()
        receiver.wait_connected(TIMEOUT)
        slave.write(raw_slave.S2M + SENDER, "I", FENCES)
        for _ in range(3):
            slave.send(MANY)
            receiver.recv(0)
            slave.write(raw_slave.S2M + FLAGS, "H", written)
            assert len(receiver.recv_burst(MANY, 0)) == MANY - 1
            with pytest.raises(Timeout):
                receiver.recv(0)
        slave.send(1)
        assert receiver.recv(TIMEOUT) == bytes(raw_slave.BUFFER)


@each_kind
@pytest.mark.parametrize("wait", odd_sender.RECEIVE)
def test_no_packet_goes_unnoticed(tmp_path, version, role, wait):
    """The peer is a process of its own, which sends at odd moments."""
    path = os.fspath(tmp_path / "socket")
    command = [sys.executable, SUPPORT / "odd_sender.py", path, role, str(version), str(ROUNDS)]
    with (
        Interface(path, role=OTHER_ROLE[role], version=version) as receiver,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender,
    ):
        least = odd_sender.receive(receiver, odd_sender.RECEIVE[wait], ROUNDS)
        spared, _ = sender.communicate(timeout=TIMEOUT)
    assert int(spared) >= least > 0
