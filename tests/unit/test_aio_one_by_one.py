# SPDX-License-Identifier: Apache-2.0
"""AsyncInterface.send and recv where nothing has to wait: without a turn of the loop, but not for
ever, and in order with calls that wait."""

import asyncio

import pytest
from support.aio import LOOPS, pair, runner

from libmemif_py import errors

PER_TURN = 64


@pytest.fixture(params=sorted(LOOPS))
def run(request):
    with runner(request.param) as run:
        yield run


def at_once(call):
    """What a call returns that awaits nothing."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    finally:
        call.close()
    raise AssertionError("it waits")


def test_ready_packets_take_no_turn_of_the_loop(run):
    async def main() -> None:
        async with pair() as (one, other):
            await one.send(b"first")
            for i in range(10):
                at_once(one.send(bytes([i])))
            assert await other.recv() == b"first"
            assert [at_once(other.recv()) for _ in range(10)] == [bytes([i]) for i in range(10)]

    run(main)


def test_a_task_that_never_has_to_wait_lets_others_run(run):
    """Packet by packet, in both directions."""
    rounds = 10

    async def main() -> None:
        async with pair() as (one, other):
            turns = 0

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            async def exchange() -> None:
                for i in range(rounds * PER_TURN):
                    await one.send(i.to_bytes(2, "big"))
                    if i % 2:  # one packet is always ready
                        assert await other.recv() == (i // 2).to_bytes(2, "big")

            counting = asyncio.create_task(count_turns())
            await exchange()
            counting.cancel()
            assert turns >= rounds

    run(main)


def test_ready_packets_are_received_in_turns(run):
    async def main() -> None:
        async with pair() as (one, other):
            for i in range(2 * PER_TURN):
                await one.send(bytes([i]))
            received = [await other.recv()]
            received += [at_once(other.recv()) for _ in range(PER_TURN - 1)]
            with pytest.raises(AssertionError, match="it waits"):
                at_once(other.recv())
            received += [at_once(other.recv()) for _ in range(PER_TURN)]
            assert received == [bytes([i]) for i in range(2 * PER_TURN)]

    run(main)


def test_a_call_does_not_overtake_those_that_wait_for_room(run):
    async def main() -> None:
        async with pair(ring_size=4) as (one, other):
            sent = 0
            while one.interface.tx_fill() < 4:
                await one.send(bytes([sent]))
                sent += 1
            waiting = [asyncio.create_task(one.send(bytes([sent + i]))) for i in range(2)]
            while one.interface.counters().tx[0].full < 2:
                await asyncio.sleep(0)
            received = other.interface.recv_burst(4, 0)
            later = one.send(bytes([sent + 2]))
            with pytest.raises(AssertionError, match="it waits"):
                at_once(later)
            await asyncio.gather(*waiting)
            await one.send(bytes([sent + 2]))
            while len(received) < sent + 3:
                received += await other.recv_burst()
            assert received == [bytes([i]) for i in range(sent + 3)]

    run(main)


def test_who_gave_up_waiting_for_its_turn_holds_up_nobody(run):
    async def main() -> None:
        async with pair(ring_size=4) as (one, other):
            while one.interface.tx_fill() < 4:
                await one.send(b"packet")
            waiting = [asyncio.create_task(one.send(b"never sent")) for _ in range(3)]
            while one.interface.counters().tx[0].full < 2:
                await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert await other.recv_burst(4) == [b"packet"] * 4
            at_once(one.send(b"last"))
            assert await other.recv() == b"last"

    run(main)


def test_a_wrong_packet_is_refused_and_the_next_one_sent(run):
    async def main() -> None:
        async with pair() as (one, other):
            await one.send(b"first")
            for _ in range(2):
                with pytest.raises(errors.ArgumentError, match="packet of 65536 bytes"):
                    await one.send(bytes(65536))
                with pytest.raises(TypeError):
                    await one.send("text")
                with pytest.raises(errors.QueueError):
                    await one.send(b"packet", queue=1)
            at_once(one.send(b"second"))
            assert [await other.recv() for _ in range(2)] == [b"first", b"second"]

    run(main)


def test_a_ready_packet_wakes_the_task_that_waits_for_the_next(run):
    async def main() -> None:
        async with pair() as (one, other):
            waiting = [asyncio.create_task(other.recv()) for _ in range(3)]
            await asyncio.sleep(0)
            await one.send_burst([b"1", b"2", b"3", b"4"])
            assert sorted(await asyncio.gather(*waiting)) == [b"1", b"2", b"3"]
            assert at_once(other.recv()) == b"4"

    run(main)
