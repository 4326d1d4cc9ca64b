# SPDX-License-Identifier: Apache-2.0
"""What is sent in a burst arrives, and no slot is ever lost."""

import numpy
import pytest
from support.pairs import BUFFER, RING, TIMEOUT, capacity, each_kind, packet, pair

from libmemif_py import Timeout


@each_kind
@pytest.mark.parametrize("size", [1, 64, BUFFER, BUFFER + 1, 3 * BUFFER, 1500])
def test_bursts_arrive_whole_round_and_round_the_ring(version, role, size):
    """1500 bytes take six slots of the sixteen, so most bursts meet the ring's end in a packet."""
    with pair(version, role) as (sender, receiver):
        number = taken = 0
        for turn in range(60):
            with sender.tx_burst(1 + turn % 5, size, TIMEOUT) as burst:
                for view in burst:
                    view[:] = packet(number, size)
                    number += 1
                del view
            while taken < number:
                with receiver.rx_burst(1 + turn % 3, TIMEOUT) as received:
                    for i, view in enumerate(received):
                        assert bytes(view) == packet(taken + i, size)
                    del view
                    taken += len(received)
        assert taken == number >= 60


@each_kind
def test_rows_show_the_same_as_packets(version, role):
    sizes = [1, 200, 64, BUFFER, 2]
    with pair(version, role) as (sender, receiver):
        for turn in range(8):
            sender.send_burst([packet(turn + i, n) for i, n in enumerate(sizes)], TIMEOUT)
            with receiver.rx_burst(RING, TIMEOUT) as burst:
                assert burst.lengths.tolist() == sizes == list(burst.row_lengths)
                assert burst.data.shape == burst.rows.shape == (len(sizes), max(sizes))
                for i, n in enumerate(sizes):
                    assert burst.data[i, :n].tobytes() == packet(turn + i, n) == bytes(burst[i])


@each_kind
def test_arrays_are_filled_in_place(version, role):
    with pair(version, role) as (sender, receiver):
        for turn in range(10):
            with sender.tx_burst(5, 100, TIMEOUT) as burst:
                burst.data[:] = numpy.arange(500, dtype=numpy.uint16).reshape(5, 100) + turn & 255
            expected = [bytes((i * 100 + at + turn) % 256 for at in range(100)) for i in range(5)]
            assert receiver.recv_burst(RING, TIMEOUT) == expected


@each_kind
@pytest.mark.parametrize("size", [200, 900])
def test_packets_are_sent_with_their_lengths(version, role, size):
    with pair(version, role) as (sender, receiver):
        for turn in range(12):
            with sender.tx_burst(3, size, TIMEOUT) as burst:
                for view in burst:
                    view[:] = packet(turn, size)
                del view
                burst.lengths[0], burst.lengths[1] = 1, size // 2
                lengths = list(burst.lengths)
            received = []
            while len(received) < len(lengths):
                received += receiver.recv_burst(RING, TIMEOUT)
            assert received == [packet(turn, n) for n in lengths]


@each_kind
def test_a_part_of_a_burst_is_sent_and_the_rest_taken_back(version, role):
    with pair(version, role) as (sender, receiver):
        room = capacity(sender)
        for turn in range(9):
            burst = sender.tx_burst(6, 10, TIMEOUT)
            for i in range(6):
                burst[i][:] = packet(turn + i, 10)
            assert burst.send(turn % 7) == turn % 7
            sent = [packet(turn + i, 10) for i in range(turn % 7)]
            assert (receiver.recv_burst(RING, TIMEOUT) if sent else []) == sent
            assert capacity(sender) == room


@each_kind
def test_a_full_ring_gives_fewer_packets_then_none(version, role):
    with pair(version, role) as (sender, receiver):
        with sender.tx_burst(1000, 8, TIMEOUT) as burst:
            count = len(burst)
        assert 0 < count <= RING
        with pytest.raises(Timeout):
            sender.tx_burst(1, 8, 0)
        assert len(receiver.recv_burst(RING, TIMEOUT)) == count


def test_an_empty_packet_is_a_packet():
    with pair() as (sender, receiver):
        sender.send(b"", TIMEOUT)
        with receiver.rx_burst(4, TIMEOUT) as burst:
            assert (len(burst), list(burst.row_lengths), bytes(burst[0])) == (1, [0], b"")
