# SPDX-License-Identifier: Apache-2.0
"""Receiving from any queue: from all of them in turn, each in order, and woken by each."""

import os
import select
import threading

import pytest
from support.pairs import RING, TIMEOUT, in_thread, joined, packet, pair, reconnect

from libmemif_py import AnyQueue, Interface, Timeout, errors

QUEUES = 3
FORMS = {
    "recv": lambda source, timeout: [source.recv(timeout)],
    "recv_burst": lambda source, timeout: source.recv_burst(2, timeout),
    "rx_burst": lambda source, timeout: copied(source.rx_burst(2, timeout)),
}
each_form = pytest.mark.parametrize("receive", FORMS.values(), ids=FORMS)


def copied(burst) -> list[bytes]:
    with burst:
        return [bytes(view) for view in burst]


def queues(**options):
    return pair(s2m_rings=QUEUES, m2s_rings=QUEUES, **options)


def waiting(receiver: Interface) -> bool:
    """Whether a thread sleeps until any queue has packets."""
    fd = receiver._receiver._any
    return fd is not None and fd._waiting > 0


def until(condition) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.001)


@each_form
def test_packets_of_all_queues_come_in_turn_and_each_queue_in_order(receive):
    with queues() as (sender, receiver):
        for queue in range(QUEUES):
            sender.send_burst([bytes([queue, n]) for n in range(6)], queue=queue)
        found: list[list[bytes]] = []
        while sum(map(len, found)) < 6 * QUEUES:
            found.append(receive(receiver.any_queue, TIMEOUT))
        assert [group[0][0] for group in found] == [0, 1, 2] * (len(found) // 3)
        for queue in range(QUEUES):
            of_queue = [p[1] for group in found for p in group if p[0] == queue]
            assert of_queue == list(range(6))


@each_form
@pytest.mark.parametrize("queue", range(QUEUES))
def test_a_packet_of_each_queue_wakes_it(receive, queue):
    with queues() as (sender, receiver):
        for _ in range(3):
            thread, outcome = in_thread(lambda: receive(receiver.any_queue, TIMEOUT))
            until(lambda: waiting(receiver))
            sender.send(b"packet", queue=queue)
            joined(thread)
            assert outcome == [[b"packet"]]


@each_form
def test_a_queue_that_polls_is_looked_at_too(receive):
    with queues() as (sender, receiver):
        receiver.set_rx_mode("polling", queue=1)
        for queue in (1, 0, 1, 2):
            thread, outcome = in_thread(lambda: receive(receiver.any_queue, TIMEOUT))
            sender.send(b"packet", queue=queue)
            joined(thread)
            assert outcome == [[b"packet"]]


@each_form
def test_it_waits_for_the_link_and_for_at_most_the_time_given(tmp_path, receive):
    with Interface(tmp_path / "socket", role="master", m2s_rings=2, s2m_rings=2) as master:
        with pytest.raises(errors.Disconnected, match="not connected"):
            receive(master.any_queue, 0)
        thread, outcome = in_thread(lambda: receive(master.any_queue, TIMEOUT))
        with Interface(tmp_path / "socket") as slave:
            slave.wait_connected(TIMEOUT)
            with pytest.raises(Timeout, match=r"no packet within 0\.01 s"):
                receive(slave.any_queue, 0.01)
            slave.send(b"packet")
            joined(thread)
    assert outcome == [[b"packet"]]


@each_form
def test_packets_of_an_ended_link_come_first_and_keep_no_queue_waiting(receive):
    with queues() as (sender, receiver):
        for queue in range(QUEUES):
            sender.send_burst([b"old", b"old"], queue=queue)
        reconnect(sender, receiver)
        for queue in range(QUEUES):
            sender.send_burst([b"new", b"new"], queue=queue)
        found: list[bytes] = []
        while len(found) < 4 * QUEUES:
            found += receive(receiver.any_queue, TIMEOUT)
        assert found == [b"old"] * 2 * QUEUES + [b"new"] * 2 * QUEUES


@each_form
def test_closing_ends_the_wait(receive):
    with queues() as (_, receiver):
        waits = [in_thread(lambda: receive(receiver.any_queue, None)) for _ in range(2)]
        until(lambda: receiver._receiver._any and receiver._receiver._any._waiting == 2)
        receiver.close()
        for thread, outcome in waits:
            joined(thread)
            assert isinstance(outcome[0], errors.NoConnectionError)
        assert list(receiver.any_queue) == []


def test_it_closes_its_descriptor():
    with queues() as (_, receiver), queues() as (_, other):
        before = len(os.listdir("/proc/self/fd"))
        fd = receiver.any_queue.fileno()
        assert fd == receiver.any_queue.fileno()
        assert len(os.listdir("/proc/self/fd")) == before + 2
        receiver.close()
        assert len(os.listdir("/proc/self/fd")) < before
        with pytest.raises(errors.NoConnectionError):
            receiver.any_queue.fileno()
        assert other.connected


def test_its_descriptor_is_ready_when_a_queue_is():
    with queues() as (sender, receiver):
        source, poll = receiver.any_queue, select.poll()
        poll.register(source, select.POLLIN)
        with pytest.raises(Timeout):
            source.recv(0)  # what woke the queues when the link came up
        assert poll.poll(0) == []
        for queue in range(QUEUES):
            sender.send(b"packet", queue=queue)
            assert [fd for fd, _ in poll.poll(TIMEOUT * 1000)] == [source.fileno()]
            assert source.recv(0) == b"packet"
            with pytest.raises(Timeout):
                source.recv(0)
            assert poll.poll(0) == []


def test_a_burst_says_its_queue_and_holds_no_other():
    with queues() as (sender, receiver):
        for queue in range(QUEUES):
            sender.send_burst([b"first", b"second"], queue=queue)
        first, second = (receiver.any_queue.rx_burst(1, TIMEOUT) for _ in range(2))
        assert (first.queue, second.queue) == (0, 1)
        assert receiver.any_queue.recv_burst(2, TIMEOUT) == [b"first", b"second"]
        thread, outcome = in_thread(lambda: receiver.any_queue.recv(TIMEOUT))
        second.release()
        joined(thread)
        assert outcome == [b"second"]
        first.release()


def test_a_thread_whose_bursts_hold_all_queues_is_told():
    with pair() as (sender, receiver):
        sender.send_burst([b"first", b"second"])
        vain = pytest.raises(errors.ArgumentError, match="hold all queues")
        with receiver.any_queue.rx_burst(1, TIMEOUT), vain:
            receiver.any_queue.recv(TIMEOUT)
        burst = receiver.any_queue.rx_burst(1, TIMEOUT)
        view = burst[0]
        del burst
        with pytest.raises(errors.ArgumentError, match="hold all queues"):
            receiver.any_queue.rx_burst(1, TIMEOUT)
        view.release()


def test_a_count_of_nothing_is_refused():
    with pair() as (_, receiver):
        for call in (receiver.any_queue.recv_burst, receiver.any_queue.rx_burst):
            with pytest.raises(errors.ArgumentError, match="count 0"):
                call(0)


def test_iteration_keeps_the_interface_alive(tmp_path):
    with Interface(tmp_path / "socket", role="master") as master:
        source = iter(Interface(tmp_path / "socket").any_queue)
        master.send(b"packet", TIMEOUT)
        assert next(source) == b"packet"
        with pytest.warns(ResourceWarning):
            del source


def test_threads_share_any_queue_and_single_queues_without_losing_a_packet():
    count = 600

    def take(receive) -> list[bytes]:
        found = []
        while True:
            try:
                found += receive()
            except errors.NoConnectionError:
                return found

    with queues() as (sender, receiver):
        forms = [
            lambda: [receiver.any_queue.recv(TIMEOUT)],
            lambda: receiver.any_queue.recv_burst(5, TIMEOUT),
            lambda: copied(receiver.any_queue.rx_burst(5, TIMEOUT)),
            lambda: [receiver.recv(TIMEOUT, queue=1)],
        ]
        takers = [in_thread(lambda form=form: take(form)) for form in forms]
        for n in range(count):
            sender.send(packet(n, RING), TIMEOUT, queue=n % QUEUES)
        assert all(sender.flush(TIMEOUT, queue=queue) for queue in range(QUEUES))
        receiver.close()
        for thread, _ in takers:
            joined(thread)
        found = sorted(p for _, outcome in takers for p in outcome[0])
        assert found == sorted(packet(n, RING) for n in range(count))


def test_it_shows_its_interface():
    with pair() as (_, receiver):
        assert isinstance(receiver.any_queue, AnyQueue)
        assert repr(receiver.any_queue) == f"<AnyQueue of {receiver!r}>"
