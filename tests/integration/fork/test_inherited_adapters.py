# SPDX-License-Identifier: Apache-2.0
"""What a child inherits of asyncio, Scapy and Prometheus does not work there."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from scapy.layers.l2 import Ether
from support.children import TIMEOUT, all_forked, in_child, outcome, outcomes

from libmemif_py import AsyncInterface, create_memif_endpoint, metrics
from libmemif_py.adapters.scapy import MemifSocket


async def outcome_of(call: Callable[[], Any]) -> str:
    try:
        await call()
    except Exception as error:
        return type(error).__name__
    return "no error"


async def outcomes_of(calls: dict[str, Callable[[], Any]]) -> dict[str, str]:
    return {name: await outcome_of(call) for name, call in calls.items()}


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_inherited_asynchronous_interfaces(tmp_path, loop):
    path = str(tmp_path / "socket")

    async def main() -> dict[str, str]:
        async with AsyncInterface(path, role="master") as one, AsyncInterface(path) as other:
            await one.wait_connected()
            await other.wait_connected()
            await one.send_burst([b"1", b"2", b"3"])
            assert await other.recv() == b"1"  # and it has the others ready
            await other.send(b"packet")
            await one.recv()
            waiting = [asyncio.create_task(one.recv()) for _ in range(2)]
            await asyncio.sleep(0)
            calls = {
                "recv of what is ready": other.recv,
                "send after others": lambda: other.send(b"x"),
                "recv": one.recv,
                "recv_burst": one.recv_burst,
                "rx_burst": one.rx_burst,
                "any_queue.recv": one.any_queue.recv,
                "any_queue.rx_burst": one.any_queue.rx_burst,
                "iteration": lambda: anext(aiter(one)),
                "tx_burst": lambda: one.tx_burst(1, 64),
                "details": lambda: asyncio.sleep(0, one.details()),
                "counters": lambda: asyncio.sleep(0, one.counters()),
                "send": lambda: one.send(b"x"),
                "send_burst": lambda: other.send_burst([b"x"]),
                "flush": one.flush,
                "wait_connected": one.wait_connected,
            }

            def work() -> dict[str, str]:
                found = asyncio.run(outcomes_of(calls))
                for memif in (one, other):
                    memif.close()
                return found

            found = in_child(work)
            await other.send_burst([b"a", b"b"])
            assert await asyncio.gather(*waiting) == [b"a", b"b"]
            assert Path(path).is_socket()
        assert not Path(path).exists()
        return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        found = runner.run(main())
    assert found == all_forked(found)


class Receiver(asyncio.DatagramProtocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.packets.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_inherited_transports(tmp_path, loop, end):
    path = str(tmp_path / "socket")

    async def main() -> dict[str, str]:
        one, receiver = await create_memif_endpoint(Receiver, path, role="master")
        other, sender = await create_memif_endpoint(Receiver, path)
        other.sendto(b"first")
        assert await receiver.packets.get() == b"first"
        calls = {
            "sendto": lambda: one.sendto(b"x"),
            "pause_reading": one.pause_reading,
            "resume_reading": one.resume_reading,
        }

        def work() -> dict[str, str]:
            found = outcomes(calls)
            for transport in (one, other):
                getattr(transport, end)()
            return found

        found = in_child(work)
        other.sendto(b"second")
        assert await receiver.packets.get() == b"second"
        assert Path(path).is_socket()
        for transport, protocol in ((one, receiver), (other, sender)):
            transport.close()
            await protocol.lost
        return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        found = runner.run(main())
    assert found == all_forked(found)


def test_a_child_has_an_event_loop_of_its_own(tmp_path, pair):
    path = str(tmp_path / "own")

    async def main() -> bytes:
        async with AsyncInterface(path, role="master") as one, AsyncInterface(path) as other:
            await one.send(b"packet")
            return await other.recv()

    assert in_child(lambda: asyncio.run(main())) == b"packet"


def test_inherited_sockets_of_scapy(tmp_path):
    path = tmp_path / "socket"
    with MemifSocket(path, role="master") as one, MemifSocket(path) as other:
        one.interface.wait_connected(TIMEOUT)
        other.interface.wait_connected(TIMEOUT)
        sockets = [one, other]

        def work() -> dict[str, str]:
            calls = {
                "send": lambda: one.send(bytes(14)),
                "recv": one.recv,
                "fileno": one.fileno,
                "select": lambda: one.select([one], 0),
            }
            found = outcomes(calls)
            with other:
                pass
            one.close()
            sockets.clear()
            gc.collect()
            return found

        found = in_child(work)
        assert found == all_forked(found)
        one.send(Ether(src="02:00:00:00:00:01"))
        other.interface.send(bytes(Ether(src="02:00:00:00:00:02")), TIMEOUT)
        assert other.interface.recv(TIMEOUT)[6:12] == bytes.fromhex("020000000001")
        assert one.interface.recv(TIMEOUT)[6:12] == bytes.fromhex("020000000002")
        assert path.is_socket()


def test_inherited_interfaces_have_no_metrics(pair):
    collector = metrics.InterfaceCollector([pair[0]])
    assert in_child(lambda: outcome(lambda: list(collector.collect()))) == "ForkedError"
