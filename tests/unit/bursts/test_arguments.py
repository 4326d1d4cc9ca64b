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
