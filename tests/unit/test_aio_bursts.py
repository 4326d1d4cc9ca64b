# SPDX-License-Identifier: Apache-2.0
"""Bursts, any queue and details, awaited: tasks share queues as threads do."""

import asyncio
import contextlib
import threading

import pytest
from support.aio import LOOPS, pair, runner

from libmemif_py import AnyQueue, AsyncAnyQueue, AsyncInterface, Interface, errors

QUEUES = 3


@pytest.fixture(params=sorted(LOOPS))
def run(request):
    with runner(request.param) as run:
        yield run


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_it_has_the_names_of_the_plain_interface():
    public = {name for name in dir(Interface) if not name.startswith("_")}
    # Without a loop to wait on: polling, and select.
    assert public - {"fileno", "set_rx_mode"} <= set(dir(AsyncInterface))
    assert {name for name in dir(AnyQueue) if name[0] != "_"} - {"fileno"} == {
        name for name in dir(AsyncAnyQueue) if name[0] != "_"
    }


def test_details_counters_and_fill_are_those_of_the_plain_interface(run):
    async def main() -> None:
        async with pair() as (one, other):
            await one.send_burst([b"packet"] * 3)
            assert one.details() == one.interface.details()
            assert one.counters().tx[0].packets == other.rx_fill() == other.rx_slots() == 3
            assert one.tx_fill() == one.tx_slots() == 3
            assert one.peer == one.interface.peer is not None

    run(main)


def test_a_burst_is_sent_and_received_in_place(run):
    async def main() -> None:
        async with pair(ring_size=16) as (one, other):
            for turn in range(50):
                with await one.tx_burst(5, 60) as burst:
                    assert len(burst) == 5
                    burst.data[:] = turn
                    burst.lengths[:] = range(1, 6)
                with await other.rx_burst() as burst:
                    assert burst.lengths.tolist() == [1, 2, 3, 4, 5]
                    assert set(burst.data[:, 0].tolist()) == {turn}

    run(main)


def test_bursts_wait_for_the_link_for_packets_and_for_room(run):
    async def main() -> None:
        async with pair(ring_size=4) as (one, other):
            receiving = asyncio.create_task(other.rx_burst(3))
            await turns()
            await one.send_burst([b"packet"] * 3)
            (await receiving).release()
            while (await asyncio.wait_for(one.tx_burst(1, 6), 20)).send() and one.tx_fill() < 4:
                pass
            sending = asyncio.create_task(one.tx_burst(1, 6))
            await turns()
            assert not sending.done()
            received = await other.rx_burst(2)
            received.release()
            (await sending).release()

    run(main)


def test_packets_taken_ahead_come_first_in_a_burst(run):
    async def main() -> None:
        async with pair(QUEUES) as (one, other):
            await one.send_burst([bytes([n]) for n in range(9)], queue=1)
            assert await other.recv(queue=1) == b"\0"
            with await other.rx_burst(3, queue=1) as burst:
                assert [bytes(p) for p in burst] == [b"\1", b"\2", b"\3"]
            assert await other.any_queue.recv() == b"\4"
            assert await other.recv_burst(2, queue=1) == [b"\5", b"\6"]
            assert await other.any_queue.recv_burst() == [b"\7", b"\x08"]

    run(main)


@pytest.mark.parametrize("direction", ["rx", "tx"])
def test_other_tasks_wait_while_a_burst_is_open(run, direction):
    async def main() -> None:
        async with pair() as (one, other):
            await other.send_burst([b"1", b"2", b"3"])
            if direction == "rx":
                burst = await one.rx_burst(1)
                calls = [one.recv(), one.rx_burst(1)]
            else:
                burst = await one.tx_burst(1, 8)
                calls = [one.send(b"packet"), one.tx_burst(1, 8)]
            tasks = [asyncio.create_task(call) for call in calls]
            await turns()
            assert not any(task.done() for task in tasks)
            burst.release()
            for task in tasks:
                result = await task
                if hasattr(result, "release"):
                    result.release()

    run(main)


def test_a_task_that_would_wait_for_itself_is_told(run):
    async def main() -> None:
        async with pair() as (one, other):
            await other.send_burst([b"1", b"2"])
            own = pytest.raises(errors.ArgumentError, match="this task has a burst open")
            with await one.rx_burst(1):
                for call in (one.recv, one.rx_burst, one.any_queue.recv):
                    with own:
                        await call()
            with await one.tx_burst(1, 8):
                behind = asyncio.create_task(one.send(b"behind"))
                await turns()
                for call in (lambda: one.send(b"packet"), lambda: one.tx_burst(1, 8)):
                    with own:
                        await call()
            await behind

    run(main)


def test_views_that_outlive_their_block_are_named(run):
    async def main() -> None:
        async with pair() as (one, other):
            await other.send_burst([b"1", b"2"])
            with pytest.raises(BufferError), await one.rx_burst(1) as burst:
                view = burst[0]
            with pytest.raises(errors.ArgumentError, match="views"):
                await one.recv()
            view.release()
            assert await one.recv() == b"2"
            with pytest.raises(BufferError), await one.tx_burst(1, 8) as burst:
                view = burst[0]
            with pytest.raises(errors.ArgumentError, match="views"):
                await one.send(b"packet")
            view.release()
            await one.send(b"packet")

    run(main)


def test_a_burst_of_another_thread_does_not_have_the_loop_spin(run):
    async def main() -> None:
        async with pair() as (one, other):
            await other.send_burst([b"1", b"2"])
            held, over = threading.Event(), threading.Event()

            def hold() -> None:
                with one.interface.rx_burst(1):
                    held.set()
                    over.wait()

            holder = asyncio.create_task(asyncio.to_thread(hold))
            await asyncio.to_thread(held.wait)
            receiving = asyncio.create_task(one.recv())
            await turns()
            assert not one._receivers[0]._reading
            over.set()
            assert await receiving == b"2"
            await holder

    run(main)


def test_a_cancelled_call_leaves_no_burst_behind(run):
    async def main() -> None:
        async with pair(ring_size=4) as (one, other):
            for _ in range(3):
                calls = [one.rx_burst(), one.any_queue.rx_burst()]
                for task in [asyncio.create_task(call) for call in calls]:
                    await turns()
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
            with await one.tx_burst(1, 8):
                task = asyncio.create_task(one.tx_burst(1, 8))
                await turns()
                task.cancel()
            await one.send(b"packet")
            assert len(await other.recv_burst(1)) == 1
            await other.send(b"packet")
            assert await one.recv() == b"packet"

    run(main)


def test_any_queue_takes_all_in_turn_and_waits_for_each(run):
    async def main() -> None:
        async with pair(QUEUES) as (one, other):
            source = other.any_queue
            for queue in range(QUEUES):
                await one.send_burst([bytes([queue])] * 4, queue=queue)
            found = [(await source.recv())[0] for _ in range(6)]
            for _ in range(3):
                with await source.rx_burst(2) as burst:
                    found.append(burst.queue)
            assert found == [0, 1, 2] * 3
            for queue in (2, 0, 1):
                receiving = asyncio.create_task(source.recv_burst())
                await turns()
                await one.send(b"packet", queue=queue)
                assert await receiving == [b"packet"]

    run(main)


def test_close_ends_waits_for_bursts_and_any_queue(run):
    async def main() -> None:
        async with pair(QUEUES) as (one, _):
            burst = await one.tx_burst(1, 8)
            seen = []

            async def iterate() -> None:
                async for packet in one.any_queue:
                    seen.append(packet)

            calls = [one.rx_burst(), one.any_queue.rx_burst(), one.send(b""), one.tx_burst(1, 8)]
            tasks = [asyncio.create_task(call) for call in calls]
            iterating = asyncio.create_task(iterate())
            await turns()
            one.close()
            for task in tasks:
                with pytest.raises(errors.NoConnectionError):
                    await task
            await iterating
            burst.release()

    run(main)


def test_wrong_arguments_are_refused(run):
    async def main() -> None:
        async with pair() as (one, _):
            for call in (
                lambda: one.rx_burst(0),
                lambda: one.any_queue.rx_burst(0),
                lambda: one.tx_burst(0, 1),
                lambda: one.tx_burst(1, 0),
            ):
                with pytest.raises(errors.ArgumentError):
                    await call()
            for call in (lambda: one.rx_burst(queue=1), lambda: one.tx_burst(1, 1, queue=1)):
                with pytest.raises(errors.QueueError):
                    await call()

    run(main)
