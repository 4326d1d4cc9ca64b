# SPDX-License-Identifier: Apache-2.0
"""Interfaces say what their queues have done, and Prometheus hears of it."""

import dataclasses
import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.pairs import BUFFER, KINDS, TIMEOUT, pair, reconnect
from support.raw_slave import M2S, S2M, SLOTS, RawSlave

from libmemif_py import Counters, Interface, RxCounters, Timeout, TxCounters, errors
from libmemif_py.adapters.metrics import InterfaceCollector

each_kind = pytest.mark.parametrize(("version", "role"), KINDS)


def exchange(sender: Interface, receiver: Interface, sizes: list[int]) -> None:
    for size in sizes:
        sender.send(bytes(size), TIMEOUT)
        receiver.recv(TIMEOUT)


@each_kind
def test_packets_and_bytes_are_those_sent_and_received(version, role):
    sizes = [1, 64, 256, 257, 1500]  # of 256 byte buffers
    with pair(version, role) as (sender, receiver):
        exchange(sender, receiver, sizes * 20)
        packets, total = len(sizes) * 20, sum(sizes) * 20
        sent, received = sender.counters().tx[0], receiver.counters().rx[0]
        assert (sent.packets, sent.bytes) == (packets, total)
        assert received == RxCounters(packets, total)
        assert sender.counters().rx == (RxCounters(0, 0),)
        with sender.tx_burst(3, 8, TIMEOUT):
            pass
        cancelled = sender.tx_burst(3, 8, TIMEOUT)
        cancelled.release()
        assert sender.counters().tx[0].packets == packets + 3


def test_a_full_ring_and_interrupts_are_counted():
    with pair() as (sender, receiver):
        before = sender.counters().tx[0]
        sender.send(b"wakes", TIMEOUT)
        assert sender.counters().tx[0].interrupts == before.interrupts + 1
        receiver.recv(TIMEOUT)
        receiver.set_rx_mode("polling")
        sender.send(b"wakes nobody", TIMEOUT)
        assert sender.counters().tx[0].interrupts == before.interrupts + 1
        assert sender.counters().tx[0].full == 0
        with pytest.raises(Timeout):
            while True:
                sender.send(b"fills", 0)
        assert sender.counters().tx[0].full > 0


@each_kind
def test_counters_go_on_over_reconnections_and_last_beyond_the_end(version, role):
    with pair(version, role) as (sender, receiver):
        for round_ in range(1, 4):
            exchange(sender, receiver, [100] * 10)
            assert receiver.counters().rx[0] == RxCounters(10 * round_, 1000 * round_)
            reconnect(sender, receiver)
            assert receiver.counters().rx[0] == RxCounters(10 * round_, 1000 * round_)
        sender.close()
        receiver.close()
        assert receiver.counters().rx[0] == RxCounters(30, 3000)
        assert (sender.counters().tx[0].packets, sender.counters().tx[0].bytes) == (30, 3000)
    with pair(version, role) as (_, receiver):
        assert receiver.counters().rx[0] == RxCounters(0, 0)  # another interface begins at zero


def test_counters_never_go_back_while_links_end():
    with pair() as (sender, receiver):
        stop, seen = threading.Event(), []

        def watch() -> None:
            while not stop.is_set():
                seen.append(receiver.counters().rx[0].packets)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for _ in range(20):
                exchange(sender, receiver, [10] * 20)
                reconnect(sender, receiver)
        finally:
            stop.set()
            watcher.join()
        assert seen == sorted(seen)
        assert receiver.counters().rx[0].packets == 400


@each_kind
def test_the_fill_of_a_ring_is_what_was_sent_and_not_given_back(version, role):
    with pair(version, role) as (sender, receiver):
        room = sender.details().tx_rings[0]
        for start in range(0, 3 * room, 5):  # the indices wrap around
            assert (sender.tx_fill(), receiver.rx_fill()) == (0, 0), start
            sender.send_burst([b"packet"] * 5, TIMEOUT)
            assert (sender.tx_fill(), receiver.rx_fill()) == (5, 5), start
            assert (receiver.tx_fill(), sender.rx_fill()) == (0, 0), start
            with receiver.rx_burst(3, TIMEOUT):
                assert sender.tx_fill() == 5, start
            assert sender.tx_fill() == 2, start
            receiver.recv_burst(2, TIMEOUT)
        with pytest.raises(Timeout):
            while True:
                sender.send(b"fills", 0)
        assert sender.tx_fill() in {room - 1, room}  # one slot stays free in version 256
        for fill in (sender.tx_fill, receiver.rx_fill):
            with pytest.raises(errors.QueueError, match="expected 0 to 0"):
                fill(1)
        receiver.close()
        assert receiver.rx_fill() is None


@each_kind
def test_a_packet_counts_once_however_many_slots_it_takes(version, role):
    sizes = [1, 5 * BUFFER, 100, 3 * BUFFER]
    slots = 1 + 5 + 1 + 3
    with pair(version, role) as (sender, receiver):
        for round_ in range(40):  # the indices wrap around, also within a packet
            sender.send_burst([bytes(size) for size in sizes], TIMEOUT)
            assert (sender.tx_fill(), receiver.rx_fill()) == (4, 4), round_
            assert (sender.tx_slots(), receiver.rx_slots()) == (slots, slots), round_
            with receiver.rx_burst(2, TIMEOUT):
                assert (sender.tx_fill(), receiver.rx_fill()) == (4, 4), round_
            assert (sender.tx_fill(), receiver.rx_fill()) == (2, 2), round_
            assert sender.tx_slots() == receiver.rx_slots() == 4
            with pytest.raises(Timeout, match="2 packets not taken"):
                sender.flush(0)
            receiver.recv_burst(2, TIMEOUT)
            assert (sender.tx_fill(), sender.tx_slots()) == (0, 0), round_
            assert sender.flush(0) is True
            sender.send(b"moves the indices", TIMEOUT)
            receiver.recv(TIMEOUT)


def test_half_a_packet_counts_as_one_and_a_wrong_index_as_a_full_ring(tmp_path):
    path = tmp_path / "m.sock"
    with Interface(path, role="master") as ours, RawSlave(path) as slave:
        slave.connect()
        ours.wait_connected(TIMEOUT)
        slave.send(1, flags=1)
        assert (ours.rx_fill(), ours.rx_slots()) == (1, 1)
        slave.send(1)
        assert (ours.rx_fill(), ours.rx_slots()) == (1, 2)
        slave.write(S2M + 6, "H", 5000)
        assert ours.rx_slots() == SLOTS


def test_slots_that_a_slave_has_not_posted_hold_no_packets(tmp_path):
    path = tmp_path / "m.sock"
    with Interface(path, role="master") as ours, RawSlave(path) as slave:
        slave.connect()
        ours.wait_connected(TIMEOUT)
        ours.send(b"packet")
        assert (ours.tx_fill(), ours.tx_slots()) == (1, 1)
        slave.write(M2S + 6, "H", 2)  # as if only two of eight had been posted
        assert (ours.tx_fill(), ours.tx_slots()) == (1, 1)


@each_kind
def test_a_flush_ends_when_the_peer_has_taken_all(version, role):
    with pair(version, role) as (sender, receiver):
        assert sender.flush(0) is True
        sender.send_burst([b"packet"] * 5, TIMEOUT)
        with pytest.raises(Timeout, match="5 packets not taken"):
            sender.flush(0.01)
        taker = threading.Timer(0.1, receiver.recv_burst, (5, TIMEOUT))
        taker.start()
        assert sender.flush(TIMEOUT) is True
        assert sender.tx_fill() == 0
        taker.join()
        with pytest.raises(errors.QueueError, match="expected 0 to 0"):
            sender.flush(0, queue=1)
        sender.send(b"never taken", TIMEOUT)
        closer = threading.Timer(0.1, receiver.close)
        closer.start()
        assert sender.flush(TIMEOUT) is False
        closer.join()
        sender.close()
        assert sender.flush(TIMEOUT) is False


def test_counters_are_values(tmp_path):
    with Interface(tmp_path / "socket", role="master", s2m_rings=2, m2s_rings=3) as interface:
        counters = interface.counters()
        assert counters == Counters((RxCounters(0, 0),) * 2, (TxCounters(0, 0, 0, 0),) * 3)
        with pytest.raises(dataclasses.FrozenInstanceError):
            counters.rx[0].packets = 1


def sample(registry: CollectorRegistry, name: str, interface: Interface, **more: str):
    details = interface.details()
    labels = {"role": details.role, "path": details.path, "id": "0", "name": ""}
    return registry.get_sample_value(f"memif_{name}", labels | more)


def test_prometheus_hears_of_all_interfaces():
    with pair() as (sender, receiver):
        interfaces = [sender]
        registry = CollectorRegistry()
        registry.register(InterfaceCollector(interfaces))
        exchange(sender, receiver, [100] * 5)
        assert sample(registry, "tx_packets_total", sender, queue="0") == 5
        assert sample(registry, "tx_bytes_total", sender, queue="0") == 500
        assert sample(registry, "connected", sender) == 1
        assert sample(registry, "rx_packets_total", receiver, queue="0") is None
        interfaces.append(receiver)
        assert sample(registry, "rx_packets_total", receiver, queue="0") == 5
        receiver.close()
        assert sample(registry, "connected", receiver) == 0
        assert sample(registry, "rx_bytes_total", receiver, queue="0") == 500
        assert b"# TYPE memif_tx_ring_full_total counter" in generate_latest(registry)


def test_names_of_metrics_clash_at_registration():
    registry = CollectorRegistry()
    registry.register(InterfaceCollector([]))
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(InterfaceCollector([]))
    registry.register(InterfaceCollector([], prefix="other"))
