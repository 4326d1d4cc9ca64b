# SPDX-License-Identifier: Apache-2.0
"""Bursts without copies from Python: what is sent arrives, and no slot is ever lost.

Both ends are in this process, so that every moment can be met on purpose.
"""

import contextlib
import gc
import itertools
import threading
from collections.abc import Iterator

import numpy
import pytest

from libmemif_py import Interface, MemifError, Timeout, errors
from libmemif_py.control.hub import LOCK

TIMEOUT = 20.0
RING = 16
BUFFER = 256
KINDS = [*itertools.product((256, 512), ("master", "slave"))]


@contextlib.contextmanager
def pair(version: int = 512, role: str = "slave", **options) -> Iterator[tuple[Interface, ...]]:
    """A sender in the role given, and its receiver, connected."""
    name = f"@bursts-{threading.get_native_id()}-{next(numbers)}"
    settings = {"ring_size": RING, "buffer_size": BUFFER, "version": version} | options
    with (
        Interface(name, role="master", **settings) as master,
        Interface(name, **settings) as slave,
    ):
        sender, receiver = (master, slave) if role == "master" else (slave, master)
        sender.wait_connected(TIMEOUT)
        receiver.wait_connected(TIMEOUT)
        yield sender, receiver


numbers = itertools.count()
each_kind = pytest.mark.parametrize(("version", "role"), KINDS)


def packet(number: int, size: int) -> bytes:
    return bytes((number * 31 + at) % 256 for at in range(size))


def capacity(sender: Interface) -> int:
    """How many packets fit the ring now; they are taken back."""
    burst = sender.tx_burst(RING, 1, 0)
    count = len(burst)
    burst.release()
    return count


def in_thread(work) -> tuple[threading.Thread, list]:
    """Starts `work`; its result, or its exception, is appended to the list."""
    outcome: list = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def joined(thread: threading.Thread) -> None:
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def reconnect(one: Interface, other: Interface) -> None:
    """Cut the link from below and wait for the next: the slave tries again by itself."""
    up = threading.Event()
    slave = one if one.details().role == "slave" else other
    before = slave._endpoint.link
    slave._on_connect = lambda _: up.set()
    with LOCK:
        before.disconnect("cut by the test")
        slave._endpoint.hub.cancel_deadline(slave._endpoint)
        slave._endpoint.hub.set_deadline(slave._endpoint, 0)
    assert up.wait(TIMEOUT)
    one.wait_connected(TIMEOUT)
    other.wait_connected(TIMEOUT)


# ---- what is sent arrives ----


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
                assert list(burst.lengths) == sizes == burst.sizes().tolist()
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
            assert (len(burst), list(burst.lengths), bytes(burst[0])) == (1, [0], b"")


# ---- views ----


def views_of(burst) -> dict:
    """Every kind of view that keeps a burst's slots, by what makes it."""
    return {
        "packet": lambda: burst[0],
        "slice": lambda: burst[0][1:3],
        "rows": lambda: burst.rows,
        "array": lambda: burst.data,
        "part of an array": lambda: burst.data[:, 1:],
    }


VIEWS = sorted(views_of(None))


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


def test_received_packets_cannot_be_written():
    with pair() as (sender, receiver):
        sender.send(b"packet", TIMEOUT)
        with receiver.rx_burst(1, TIMEOUT) as burst:
            assert burst[0].readonly
            assert burst.rows.readonly
            assert burst.lengths.readonly
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


# ---- views and the end of a link ----


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


# ---- threads ----


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
        wait = receiver._rx_waits[0].wait

        def told(seconds) -> None:
            waiting.set()
            wait(seconds)

        receiver._rx_waits[0].wait = told
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


# ---- wrong arguments ----

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
