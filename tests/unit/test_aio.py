# SPDX-License-Identifier: Apache-2.0
"""asyncio over memif, on asyncio's own loop and on uvloop: nothing is lost, nobody is kept out."""

import asyncio
import contextlib
import itertools
import threading

import pytest
from support.aio import LOOPS, TIMEOUT, a_path, pair, runner

from libmemif_py import AsyncInterface, Interface, create_memif_endpoint, errors


@pytest.fixture(params=sorted(LOOPS))
def run(request):
    with runner(request.param) as run:
        yield run


# ---- AsyncInterface ----


def test_packets_come_in_order(run):
    async def main() -> None:
        async with pair(ring_size=16) as (one, other):
            packets = [bytes([i % 256]) * (1 + i % 3000) for i in range(500)]
            sending = asyncio.create_task(one.send_burst(packets))
            received = [await other.recv() for _ in range(200)]
            while len(received) < len(packets):
                received += await other.recv_burst(7)
            assert received == packets
            assert await sending == len(packets)

    run(main)


def test_send_waits_while_the_ring_is_full(run):
    async def main() -> None:
        async with pair(ring_size=8) as (one, other):
            sent = []

            async def send() -> None:
                for i in range(100):
                    await one.send(bytes([i]))
                    sent.append(i)

            sending = asyncio.create_task(send())
            while one.interface.counters().tx[0].full < 3:
                await asyncio.sleep(0)
            assert len(sent) <= 8
            assert [await other.recv() for _ in range(100)] == [bytes([i]) for i in range(100)]
            await sending

    run(main)


def test_a_flush_waits_until_the_peer_has_taken_all(run):
    async def main() -> None:
        async with pair() as (one, other):
            assert await one.flush()
            await one.send_burst([b"packet"] * 3)
            flushing = asyncio.create_task(one.flush())
            await asyncio.sleep(0.01)
            assert not flushing.done()
            assert len(await other.recv_burst()) == 3
            assert await flushing

            await one.send(b"never taken")
            flushing = asyncio.create_task(one.flush())
            await asyncio.sleep(0.01)
            other.close()
            assert not await flushing

    run(main)


def test_packets_of_several_tasks_go_out_in_the_order_of_the_calls(run):
    async def main() -> None:
        async with pair(ring_size=4) as (one, other):
            tasks = [asyncio.create_task(one.send(bytes([i]))) for i in range(64)]
            assert [await other.recv() for _ in range(64)] == [bytes([i]) for i in range(64)]
            await asyncio.gather(*tasks)

    run(main)


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("count", [1, 3])
def test_a_cancelled_receiver_loses_no_packet(run, steps, count):
    """Cancelled so many turns of the loop after it began to wait, while packets come all along."""

    async def main() -> None:
        async with pair(ring_size=64) as (one, other):
            sender = threading.Thread(target=send_slowly, args=(one.interface,))
            sender.start()
            received = []
            while len(received) < PACKETS:
                task = asyncio.create_task(other.recv_burst(count))
                await turns(steps)
                task.cancel()
                try:
                    received += await task
                except asyncio.CancelledError:
                    received += await other.recv_burst(count)
            sender.join()
            assert received == [i.to_bytes(2, "big") for i in range(PACKETS)]

    run(main)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_receiver_cancelled_around_the_arrival_loses_no_packet(run):
    """The packets come so many turns after it began to wait, and so many before its end."""

    async def main() -> None:
        async with pair() as (one, other):
            cancelled = 0
            for before, after, _ in itertools.product(range(4), range(5), range(5)):
                task = asyncio.create_task(other.recv())
                await turns(before)
                one.interface.send_burst([b"1", b"2"], TIMEOUT)
                await turns(after)
                task.cancel()
                try:
                    received = [await task]
                except asyncio.CancelledError:
                    cancelled += 1
                    received = []
                while len(received) < 2:
                    received.append(await other.recv())
                assert received == [b"1", b"2"]
            assert 0 < cancelled < 100

    run(main)


PACKETS = 1000


def send_slowly(interface: Interface) -> None:
    """Single packets and small bursts, so that receivers often have to wait."""
    for first in range(0, PACKETS, 4):
        interface.send(first.to_bytes(2, "big"), TIMEOUT)
        interface.send_burst([i.to_bytes(2, "big") for i in range(first + 1, first + 4)], TIMEOUT)


def test_receivers_that_time_out_lose_no_packet(run):
    async def main() -> None:
        async with pair(ring_size=64) as (one, other):
            sender = threading.Thread(target=send_slowly, args=(one.interface,))
            sender.start()
            received = []
            while len(received) < PACKETS:
                with contextlib.suppress(TimeoutError):
                    received.append(await asyncio.wait_for(other.recv(), 1e-5))
            sender.join()
            assert received == [i.to_bytes(2, "big") for i in range(PACKETS)]

    run(main)


def test_several_receivers_share_the_packets_even_if_some_are_cancelled(run):
    async def main() -> None:
        async with pair(ring_size=64) as (one, other):
            tasks = [asyncio.create_task(other.recv()) for _ in range(100)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            await one.send_burst([bytes([i]) for i in range(66)])
            done = await asyncio.gather(*tasks, return_exceptions=True)
            received = [packet for packet in done if isinstance(packet, bytes)]
            assert sorted(received) == [bytes([i]) for i in range(66)]

    run(main)


def test_a_busy_interface_leaves_others_their_turns(run):
    """The flood never ends by itself: only who has turns beside it can end it."""

    async def main() -> None:
        async with pair() as (one, other), pair() as (quiet, quiet_end):
            stop = threading.Event()
            flood = threading.Thread(target=flood_until, args=(one.interface, stop))
            flood.start()

            async def drain() -> None:
                while True:
                    await other.recv()

            draining = asyncio.create_task(drain())
            try:
                for i in range(20):
                    await quiet.send(bytes([i]))
                    assert await quiet_end.recv() == bytes([i])
            finally:
                stop.set()
                flood.join()
                draining.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await draining

    run(main)


def flood_until(interface: Interface, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(errors.MemifError):
            interface.send_burst([b"flood"] * 64, 0.1)


def test_an_idle_interface_costs_no_turns(run):
    """Packets that nobody waits for must not have the loop spin."""

    async def main() -> None:
        async with pair() as (one, other):
            await one.send_burst([b"1", b"2"])
            assert await other.recv() == b"1"
            assert not other._receivers[0]._reading
            waiting = asyncio.create_task(one.recv())
            await asyncio.sleep(0)
            assert one._receivers[0]._reading
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            assert not one._receivers[0]._reading

    run(main)


def test_close_wakes_who_waits_and_ends_iteration(run):
    async def main() -> None:
        async with pair() as (one, other):
            await one.send(b"packet")
            seen = []

            async def iterate() -> None:
                async for packet in other:
                    seen.append(packet)

            iterating = asyncio.create_task(iterate())
            receiving = asyncio.create_task(one.recv())
            while not seen:
                await asyncio.sleep(0)
            other.close()
            await iterating
            assert seen == [b"packet"]
            one.close()
            for call in (lambda: receiving, one.recv, lambda: one.send(b""), one.wait_connected):
                with pytest.raises(errors.NoConnectionError):
                    await call()

    run(main)


def test_waits_for_the_link_and_hears_of_it_on_the_loop(run):
    async def main() -> None:
        path, heard = a_path(), []
        async with AsyncInterface(
            path,
            role="master",
            on_connect=lambda it: heard.append((it, threading.get_ident())),
            on_disconnect=lambda it, reason: heard.append((it, reason)),
        ) as one:
            sending = asyncio.create_task(one.send(b"early"))
            await asyncio.sleep(0)
            async with AsyncInterface(path) as other:
                assert await other.recv() == b"early"
                await sending
            while len(heard) < 2:
                await asyncio.sleep(0)
            assert heard[0] == (one, threading.get_ident())
            assert heard[1][0] is one

    run(main)


# ---- transports ----


class Recorder(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.events, self.packets, self.changed = [], [], asyncio.Event()

    def record(self, *event) -> None:
        self.events.append(event)
        self.changed.set()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.record("made")

    def datagram_received(self, data, addr) -> None:
        self.packets.append((data, addr))
        self.changed.set()

    def error_received(self, exc) -> None:
        self.record("error", type(exc))

    def connection_lost(self, exc) -> None:
        self.record("lost", exc)

    def pause_writing(self) -> None:
        self.record("pause")

    def resume_writing(self) -> None:
        self.record("resume")

    async def until(self, condition) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


@contextlib.asynccontextmanager
async def endpoint(path, factory=Recorder, **options):
    transport, protocol = await create_memif_endpoint(factory, path, **options)
    try:
        yield transport, protocol
    finally:
        transport.abort()
        while not any(event[0] == "lost" for event in protocol.events):
            await asyncio.sleep(0)


def test_datagrams_go_both_ways(run):
    async def main() -> None:
        path = a_path()
        async with endpoint(path, role="master") as (t1, p1), endpoint(path) as (t2, p2):
            assert p1.events == p2.events == [("made",)]
            for i in range(300):
                t1.sendto(bytes([i % 256]))
                t2.sendto(bytes([i % 256]), path)
            expected = [(bytes([i % 256]), path) for i in range(300)]
            await p1.until(lambda: len(p1.packets) == 300)
            await p2.until(lambda: len(p2.packets) == 300)
            assert p1.packets == p2.packets == expected
            assert isinstance(t1.get_extra_info("interface"), Interface)
            assert (t1.get_extra_info("sockname"), t1.get_extra_info("other", 7)) == (path, 7)

    run(main)


def test_writing_pauses_and_resumes_and_close_sends_the_rest(run):
    async def main() -> None:
        path = a_path()
        async with endpoint(path, role="master") as (t1, p1):
            t1.set_write_buffer_limits(high=1000, low=100)
            for i in range(200):
                t1.sendto(bytes([i]) * 10)
            assert p1.events == [("made",), ("pause",)]
            assert t1.get_write_buffer_size() == 2000
            async with endpoint(path, ring_size=8) as (_, p2):
                await p1.until(lambda: ("resume",) in p1.events)
                t1.sendto(b"last")
                t1.close()
                await p1.until(lambda: ("lost", None) in p1.events)
                with pytest.raises(errors.NoConnectionError):
                    t1.sendto(b"later")
                await p2.until(lambda: len(p2.packets) == 201 or len(p2.events) > 1)
                assert [p[0] for p in p2.packets[:190]] == [bytes([i]) * 10 for i in range(190)]

    run(main)


def test_a_lost_link_is_an_error_and_comes_back(run):
    async def main() -> None:
        path = a_path()
        async with endpoint(path, role="master") as (t1, p1):
            for _ in range(2):
                async with endpoint(path) as (_, p2):
                    t1.sendto(b"packet")
                    await p2.until(lambda p2=p2: p2.packets)
                wanted = len(p1.events) + 1
                await p1.until(
                    lambda wanted=wanted: len(p1.events) >= wanted or p1.events[-1][0] == "error"
                )
            assert ("error", errors.Disconnected) in p1.events
            assert not t1.is_closing()

    run(main)


def test_reading_pauses_and_loses_nothing(run):
    async def main() -> None:
        path = a_path()
        async with endpoint(path, role="master") as (t1, _), endpoint(path) as (t2, p2):
            for i in range(200):
                t1.sendto(bytes([i]))
                if i % 20 == 0:
                    t2.pause_reading()
                    await asyncio.sleep(0)
                    t2.resume_reading()
            await p2.until(lambda: len(p2.packets) == 200)
            assert [p[0] for p in p2.packets] == [bytes([i]) for i in range(200)]

    run(main)


def test_a_failing_protocol_loses_no_packet():
    class Failing(Recorder):
        def datagram_received(self, data, addr) -> None:
            super().datagram_received(data, addr)
            raise KeyError(data)

    async def main() -> list:
        failures, path = [], a_path()
        asyncio.get_running_loop().set_exception_handler(lambda _, c: failures.append(c))
        async with endpoint(path, role="master") as (t1, _), endpoint(path, Failing) as (_, p2):
            for i in range(50):
                t1.sendto(bytes([i]))
            await p2.until(lambda: len(p2.packets) == 50)
        return failures

    assert [type(failure["exception"]) for failure in asyncio.run(main())] == [KeyError] * 50


def test_wrong_arguments_of_transports(run):
    async def main() -> None:
        async with endpoint(a_path(), role="master") as (transport, _):
            with pytest.raises(errors.ArgumentError, match="address"):
                transport.sendto(b"", "elsewhere")
            with pytest.raises(errors.ArgumentError, match="65536"):
                transport.sendto(bytes(65536))
            with pytest.raises(TypeError):
                transport.sendto("text")
            with pytest.raises(errors.ArgumentError, match="limits"):
                transport.set_write_buffer_limits(high=1, low=2)
            with pytest.raises(TypeError):
                transport.set_protocol(object())
        with pytest.raises(errors.QueueError):
            await create_memif_endpoint(Recorder, a_path(), role="master", queue=1)
        with pytest.raises(errors.ArgumentError):
            await create_memif_endpoint(Recorder, a_path(), role="none")

    run(main)
