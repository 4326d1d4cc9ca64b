# SPDX-License-Identifier: Apache-2.0
"""Views of packets stay good for as long as they live, also past the end of a link."""

import gc

import numpy
import pytest
from support.pairs import (
    RING,
    TIMEOUT,
    VIEWS,
    capacity,
    each_kind,
    packet,
    pair,
    reconnect,
    views_of,
)

from libmemif_py import Interface, Timeout, errors


@each_kind
@pytest.mark.parametrize("kind", VIEWS)
def test_a_burst_with_a_view_does_not_end_and_loses_no_slot(version, role, kind):
    with pair(version, role) as (sender, receiver):
        room = capacity(sender)
        for turn in range(RING):
            burst = sender.tx_burst(2, 8, TIMEOUT)
            view = views_of(burst)[kind]()
            with pytest.raises(BufferError, match="alive"):
                burst.send()
            with pytest.raises(BufferError, match="alive"):
                burst.release()
            del view
            burst[0][:] = burst[1][:] = packet(turn, 8)
            assert burst.send() == 2
            received = receiver.rx_burst(2, TIMEOUT)
            view = views_of(received)[kind]()
            with pytest.raises(BufferError, match="alive"):
                received.release()
            assert [bytes(p) for p in received] == [packet(turn, 8)] * 2
            del view
            received.release()
        assert capacity(sender) == room


@each_kind
@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_that_outlives_its_block_frees_the_queue_when_it_goes(version, role, kind):
    """As in a notebook: the variables of the block are still there afterwards."""
    with pair(version, role) as (sender, receiver):
        room = capacity(sender)
        for turn in range(2 * RING):
            with (
                pytest.raises(BufferError, match=r"nothing was sent: 1 view .* alive"),
                sender.tx_burst(1, 8, TIMEOUT) as burst,
            ):
                view = views_of(burst)[kind]()
            with pytest.raises(errors.ArgumentError, match=r"views .* hold the queue"):
                sender.send(b"during")
            del view
            assert len(burst) == 1
            sender.send(packet(turn, 8), TIMEOUT)
            with (
                pytest.raises(BufferError, match=r"1 view .* alive.*: delete"),
                receiver.rx_burst(1, TIMEOUT) as burst,
            ):
                view = views_of(burst)[kind]()
            for receive in (receiver.recv, receiver.rx_burst):
                with pytest.raises(errors.ArgumentError, match=r"views .* hold the queue"):
                    receive()
            assert memoryview(view).tobytes() in packet(turn, 8)
            del view
            burst.release()
            with pytest.raises(Timeout):
                receiver.recv(0)
        assert capacity(sender) == room


@pytest.mark.parametrize(
    "call", ["recv(0)", "recv_burst(9, 0)", "rx_burst(9, 0)", "send(b'', 0)", "tx_burst(1, 8, 0)"]
)
def test_a_call_that_does_not_wait_is_told_of_views_too(call):
    with pair() as (both, other):
        other.send(b"packet", TIMEOUT)
        views = []
        for burst in (both.rx_burst(1, TIMEOUT), both.tx_burst(1, 8, TIMEOUT)):
            with pytest.raises(BufferError), burst:
                views.append(burst[0])
        with pytest.raises(errors.ArgumentError, match=r"views .* hold the queue"):
            eval(f"both.{call}", {"both": both})  # noqa: S307 - from the table above


def test_received_packets_cannot_be_written():
    with pair() as (sender, receiver):
        sender.send(b"packet", TIMEOUT)
        with receiver.rx_burst(1, TIMEOUT) as burst:
            assert burst[0].readonly
            assert burst.rows.readonly
            assert burst.row_lengths.readonly
            assert not burst.lengths.flags.writeable
            assert not burst.data.flags.writeable


def test_what_is_over_has_no_packets():
    with pair() as (sender, receiver):
        sender.send(b"packet", TIMEOUT)
        burst = receiver.rx_burst(1, TIMEOUT)
        lengths = burst.lengths
        burst.release()
        burst.release()
        for look in (lambda: burst[0], lambda: burst.rows, lambda: burst.data):
            with pytest.raises(BufferError, match="over"):
                look()
        assert list(lengths) == [6]
        sent = sender.tx_burst(1, 6, TIMEOUT)
        sent.send()
        with pytest.raises(errors.ArgumentError):
            sent.send()


@each_kind
def test_an_exception_takes_reservations_back(version, role):
    with pair(version, role) as (sender, receiver):
        room = capacity(sender)
        for _ in range(2 * RING):
            with pytest.raises(KeyError), sender.tx_burst(3, 700, TIMEOUT):
                raise KeyError
        assert capacity(sender) == room
        sender.send(b"after", TIMEOUT)
        assert receiver.recv(TIMEOUT) == b"after"


@each_kind
def test_views_in_the_frames_of_an_exception_give_the_slots_back_when_they_go(version, role):
    def fail(sender: Interface) -> None:
        with sender.tx_burst(3, 8, TIMEOUT) as burst:
            rows = burst.data
            raise KeyError(rows.shape)

    with pair(version, role) as (sender, receiver):
        room = capacity(sender)
        try:
            fail(sender)
        except KeyError:
            with pytest.raises(errors.ArgumentError, match="views"):  # else it waits for itself
                sender.send(b"during")
            with pytest.raises(errors.ArgumentError, match="views"):
                sender.tx_burst(1, 8)
        assert capacity(sender) == room
        sender.send(b"after", TIMEOUT)
        assert receiver.recv(TIMEOUT) == b"after"


@each_kind
@pytest.mark.parametrize("kind", [*VIEWS, "lengths"])
def test_a_burst_that_is_dropped_gives_its_slots_back_with_the_last_view(version, role, kind):
    with pair(version, role) as (sender, receiver):
        for turn in range(2 * RING):
            sender.send_burst([packet(turn, 8), packet(turn, 9)], TIMEOUT)
            burst = receiver.rx_burst(2, TIMEOUT)
            view = burst.lengths if kind == "lengths" else views_of(burst)[kind]()
            del burst
            if kind != "lengths":
                with pytest.raises(errors.ArgumentError, match="views"):
                    receiver.recv()
            view = None  # noqa: F841 - the last one
        assert capacity(sender) > 0


def test_a_wrong_length_is_refused_and_nothing_is_sent():
    with pair() as (sender, receiver):
        room = capacity(sender)
        too_long = pytest.raises(errors.ArgumentError, match="length 9")
        with too_long, sender.tx_burst(2, 8, TIMEOUT) as burst:
            burst.lengths[1] = 9
        assert capacity(sender) == room
        with pytest.raises(Timeout):
            receiver.recv(0)


@each_kind
@pytest.mark.parametrize("is_rx", [True, False])
def test_views_outlive_a_reconnection_and_their_slots_are_not_given_to_the_next(
    version, role, is_rx
):
    with pair(version, role) as (sender, receiver):
        room = capacity(sender)
        sender.send_burst([packet(i, 50) for i in range(4)], TIMEOUT)
        old = receiver.rx_burst(4, TIMEOUT) if is_rx else sender.tx_burst(4, 50, TIMEOUT)
        if not is_rx:
            for i in range(4):
                old[i][:] = packet(i, 50)
        view = old.data
        reconnect(sender, receiver)
        assert [view[i].tobytes() for i in range(4)] == [packet(i, 50) for i in range(4)]
        del view
        if is_rx:
            old.release()
        else:
            with pytest.raises(errors.Disconnected):
                old.send()
            # What nobody received comes before the packets of the next link.
            assert receiver.recv_burst(RING, TIMEOUT) == [packet(i, 50) for i in range(4)]
        assert capacity(sender) == room
        for turn in range(2 * RING):
            sender.send(packet(turn, 60), TIMEOUT)
            with receiver.rx_burst(4, TIMEOUT) as burst:
                assert [bytes(p) for p in burst] == [packet(turn, 60)]


@each_kind
def test_views_outlive_both_interfaces(version, role):
    with pair(version, role) as (sender, receiver):
        sender.send_burst([packet(i, 50) for i in range(4)], TIMEOUT)
        burst = receiver.rx_burst(4, TIMEOUT)
        view, row = burst.data, burst[3]
        receiver.close()
        sender.close()
        del burst
        gc.collect()
        assert [view[i].tobytes() for i in range(4)] == [packet(i, 50) for i in range(4)]
        assert bytes(row) == packet(3, 50)


@each_kind
def test_whoever_does_not_find_a_view_makes_the_interface_again(version, role):
    with pair(version, role) as (sender, receiver):
        sender.send(b"first", TIMEOUT)
        with pytest.raises(BufferError), receiver.rx_burst(1, TIMEOUT) as burst:
            kept = burst[0]
        with pytest.raises(errors.ArgumentError, match="close the interface and make it again"):
            receiver.recv(0)
        receiver.close()
        with Interface(receiver.details().path, role=receiver.details().role) as again:
            again.wait_connected(TIMEOUT)
            sender.wait_connected(TIMEOUT)
            sender.send(b"second", TIMEOUT)
            assert again.recv(TIMEOUT) == b"second"
        assert bytes(kept) == b"first"


def mapped() -> int:
    with open("/proc/self/maps") as maps:
        return sum("memfd:" in line for line in maps)


def test_the_last_view_has_the_memory_unmapped():
    before = mapped()
    with pair() as (sender, receiver):
        sender.send(b"packet", TIMEOUT)
        burst = receiver.rx_burst(1, TIMEOUT)
        view = burst[0]
    assert mapped() > before
    assert bytes(view) == b"packet"
    del burst, view
    assert mapped() == before


def test_lengths_are_an_array_beside_an_array_and_a_view_beside_a_view():
    with pair() as (sender, receiver):
        with sender.tx_burst(3, 9, TIMEOUT) as burst:
            burst.lengths[:] = numpy.arange(1, 4)
            burst.row_lengths[0] = 5
        with receiver.rx_burst(3, TIMEOUT) as burst:
            assert (type(burst.lengths), burst.lengths.dtype) == (numpy.ndarray, numpy.uint32)
            assert burst.lengths[burst.lengths > 2].tolist() == [5, 3]
            assert isinstance(burst.row_lengths, memoryview)
            assert burst.row_lengths.tolist() == [5, 2, 3]
