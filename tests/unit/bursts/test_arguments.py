# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments are refused and change nothing."""

import pytest
from support.pairs import TIMEOUT, capacity, pair

from libmemif_py import MemifError, errors

WRONG = {
    "rx_burst(0)": errors.ArgumentError,
    "rx_burst(-1)": errors.ArgumentError,
    "rx_burst(queue=1)": errors.QueueError,
    "rx_burst(queue=-1)": errors.QueueError,
    "rx_burst(1.5)": TypeError,
    "rx_burst('many')": TypeError,
    "tx_burst(0, 1)": errors.ArgumentError,
    "tx_burst(-(2**70), 1)": errors.ArgumentError,
    "tx_burst(1, 0)": errors.ArgumentError,
    "tx_burst(1, 65536)": errors.ArgumentError,
    "tx_burst(1, 2**70)": errors.ArgumentError,
    "tx_burst(1, 1, queue=1)": errors.QueueError,
    "tx_burst(1, 1.5)": TypeError,
    "recv_burst(0)": errors.ArgumentError,
    "recv(queue=2**70)": errors.QueueError,
    "send(bytes(65536))": errors.ArgumentError,
    "send('text')": TypeError,
    "send(None)": TypeError,
    "send(memoryview(bytes(10))[::2])": BufferError,
    "send_burst([b'good', bytes(65536)])": errors.ArgumentError,
    "send_burst([b'good', 'text'])": TypeError,
    "send_burst(7)": TypeError,
    "send(b'', queue=-1)": errors.QueueError,
}


UNTYPED = {
    "recv('1')": "timeout '1', expected a number of seconds or None",
    "wait_connected('1')": "timeout '1', expected a number of seconds or None",
    "flush('1')": "timeout '1', expected a number of seconds or None",
    "any_queue.recv('1')": "timeout '1', expected a number of seconds or None",
    "recv(queue='a')": "queue 'a', expected an integer",
    "recv_burst(queue=0.0)": "queue 0.0, expected an integer",
    "rx_burst(queue=0.0)": "receive queue 0.0, expected an integer",
    "send(b'', queue=None)": "queue None, expected an integer",
    "tx_burst(1, 1, queue='a')": "transmit queue 'a', expected an integer",
    "fileno('a')": "receive queue 'a', expected an integer",
    "tx_fill(0.0)": "transmit queue 0.0, expected an integer",
    "rx_burst('many')": "count 'many', expected an integer",
    "recv_burst(1.5)": "count 1.5, expected an integer",
    "any_queue.rx_burst('many')": "count 'many', expected an integer",
    "tx_burst(1.5, 1)": "count 1.5, expected an integer",
    "tx_burst(2, [60, 70])": "size [60, 70], expected an integer",
}


@pytest.mark.parametrize("call", UNTYPED)
def test_an_argument_of_another_type_is_named(call):
    with pair() as (sender, _), pytest.raises(TypeError) as caught:
        eval(f"sender.{call}", {"sender": sender})  # noqa: S307 - from the table above
    assert str(caught.value) == UNTYPED[call]


def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    one, zero = numpy.int64(1), numpy.uint8(0)
    with pair() as (sender, receiver):
        sender.send(b"first", TIMEOUT, queue=zero)
        sender.tx_burst(one, numpy.uint16(60), TIMEOUT, queue=zero).send(one)
        assert receiver.recv_burst(one, TIMEOUT, queue=zero) == [b"first"]
        with receiver.rx_burst(one, TIMEOUT, queue=zero) as burst:
            assert len(burst[0]) == 60
        with pytest.raises(errors.QueueError):
            receiver.recv(queue=numpy.int64(-1))


@pytest.mark.parametrize("call", WRONG)
def test_wrong_arguments_are_refused_and_change_nothing(call):
    with pair() as (sender, receiver):
        room = capacity(sender)
        with pytest.raises(WRONG[call]) as caught:
            eval(f"sender.{call}", {"sender": sender})  # noqa: S307 - from the table above
        assert isinstance(caught.value, MemifError) or WRONG[call] in (TypeError, BufferError)
        assert capacity(sender) == room
        sender.send(b"after", TIMEOUT)
        assert receiver.recv(TIMEOUT) == b"after"


def test_a_huge_count_is_what_there_is():
    with pair() as (sender, receiver):
        with sender.tx_burst(2**70, 8, TIMEOUT) as burst:
            count = len(burst)
        with receiver.rx_burst(2**70, TIMEOUT) as received:
            assert len(received) == count


@pytest.mark.parametrize("count", [-1, 3, 2**70])
def test_a_burst_sends_no_more_than_it_has(count):
    with pair() as (sender, _):
        burst = sender.tx_burst(2, 8, TIMEOUT)
        with pytest.raises(errors.ArgumentError):
            burst.send(count)
        assert burst.send() == 2
