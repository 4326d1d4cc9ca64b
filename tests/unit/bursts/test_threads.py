# SPDX-License-Identifier: Apache-2.0
"""Bursts of several threads take turns, and closing wakes who waits."""

import threading

import pytest
from support.pairs import RING, TIMEOUT, in_thread, joined, pair

from libmemif_py import Interface, Timeout, errors


def test_others_wait_until_a_burst_is_over():
    with pair() as (sender, receiver):
        sender.send_burst([b"1", b"2", b"3"], TIMEOUT)
        with receiver.rx_burst(1, TIMEOUT) as burst:
            threads = [in_thread(lambda: receiver.recv(TIMEOUT)) for _ in range(2)]
            with pytest.raises(Timeout):
                raise_from(receiver, 0.05)
            assert bytes(burst[0]) == b"1"
            assert [outcome for _, outcome in threads] == [[], []]
        for thread, _ in threads:
            joined(thread)
        assert sorted(outcome[0] for _, outcome in threads) == [b"2", b"3"]


def raise_from(receiver: Interface, timeout: float) -> None:
    """The outcome of a recv on another thread, here."""
    thread, outcome = in_thread(lambda: receiver.recv(timeout))
    joined(thread)
    raise outcome[0]


def test_a_sender_waits_until_a_burst_is_over():
    with pair() as (sender, receiver):
        with sender.tx_burst(2, 1, TIMEOUT) as burst:
            thread, outcome = in_thread(lambda: sender.send(b"3", TIMEOUT))
            burst[0][:], burst[1][:] = b"1", b"2"
            assert outcome == []
        joined(thread)
        received = []
        while len(received) < 3:
            received += receiver.recv_burst(4, TIMEOUT)
        assert received == [b"1", b"2", b"3"]


def test_a_thread_that_would_wait_for_itself_is_told():
    with pair() as (sender, receiver):
        sender.send_burst([b"1", b"2"], TIMEOUT)
        with receiver.rx_burst(1, TIMEOUT), sender.tx_burst(1, 8, TIMEOUT):
            for call in (
                receiver.recv,
                receiver.recv_burst,
                receiver.rx_burst,
                lambda: sender.send(b"x"),
                lambda: sender.send_burst([b"x"]),
                lambda: sender.tx_burst(1, 8),
            ):
                with pytest.raises(errors.ArgumentError, match="this thread"):
                    call()
        assert receiver.recv_burst(4, TIMEOUT)[0] == b"2"


def test_a_burst_may_be_ended_by_another_thread():
    with pair() as (sender, receiver):
        sender.send_burst([b"1", b"2"], TIMEOUT)
        burst = receiver.rx_burst(1, TIMEOUT)
        thread, outcome = in_thread(burst.release)
        joined(thread)
        assert outcome == [None]
        assert receiver.recv(TIMEOUT) == b"2"


def test_threads_share_queues_without_losing_a_packet():
    count = 3000
    with pair() as (sender, receiver):

        def send(first: int) -> None:
            for number in range(first, count, 2):
                if number % 3:
                    sender.send(number.to_bytes(4, "big"), TIMEOUT)
                else:
                    with sender.tx_burst(1, 4, TIMEOUT) as burst:
                        burst[0][:] = number.to_bytes(4, "big")

        def receive(step: int) -> list[int]:
            found = []
            while len(found) < count // 2:
                if len(found) % 2 == step:
                    found.append(int.from_bytes(receiver.recv(TIMEOUT), "big"))
                else:
                    with receiver.rx_burst(1, TIMEOUT) as burst:
                        found.append(int.from_bytes(burst[0], "big"))
            return found

        threads = [in_thread(lambda i=i: send(i)) for i in range(2)]
        receivers = [in_thread(lambda i=i: receive(i)) for i in range(2)]
        for thread, _ in threads + receivers:
            thread.join(60)
        assert [outcome for _, outcome in threads] == [[None], [None]]
        assert sorted(receivers[0][1][0] + receivers[1][1][0]) == list(range(count))


@pytest.mark.parametrize("call", ["recv", "recv_burst", "rx_burst"])
def test_close_wakes_who_waits(call):
    with pair() as (_, receiver):
        waiting = threading.Event()
        wait = receiver._receiver._waits[0].wait

        def told(seconds) -> None:
            waiting.set()
            wait(seconds)

        receiver._receiver._waits[0].wait = told
        thread, outcome = in_thread(getattr(receiver, call))
        assert waiting.wait(TIMEOUT)
        receiver.close()
        joined(thread)
        assert isinstance(outcome[0], errors.NoConnectionError)


def test_close_wakes_who_waits_for_room():
    with pair() as (sender, _):
        with sender.tx_burst(RING, 8, TIMEOUT):
            pass
        thread, outcome = in_thread(lambda: sender.tx_burst(1, 8))
        other, other_outcome = in_thread(lambda: sender.send(b"x"))
        sender.close()
        joined(thread)
        joined(other)
        assert isinstance(outcome[0], errors.NoConnectionError)
        assert isinstance(other_outcome[0], errors.NoConnectionError)


def test_an_interface_may_close_in_a_burst():
    with pair() as (sender, receiver):
        sender.send(b"packet", TIMEOUT)
        with receiver.rx_burst(1, TIMEOUT) as burst:
            receiver.close()
            assert bytes(burst[0]) == b"packet"
        with pytest.raises(errors.NoConnectionError):
            receiver.rx_burst()


def test_a_burst_of_an_interface_that_was_closed_meanwhile_is_not_sent():
    closed = pytest.raises(errors.NoConnectionError)
    with pair() as (sender, _), closed, sender.tx_burst(1, 8, TIMEOUT):
        sender.close()
