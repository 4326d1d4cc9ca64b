# SPDX-License-Identifier: Apache-2.0
"""What an interpreter or a log shows of an object says what state it is in."""

import asyncio

import pytest
from support.pairs import TIMEOUT, pair

from libmemif_py import AsyncInterface, Interface, create_memif_endpoint

SECRET = "s3cret"  # noqa: S105


def test_a_burst_tells_its_queue_its_packets_and_whether_it_is_over():
    with pair() as (sender, receiver):
        with sender.tx_burst(1, 60, TIMEOUT) as sent:
            assert repr(sent) == "<TxBurst of queue 0: 1 packet of 60 bytes>"
        assert repr(sent) == "<TxBurst of queue 0: 1 packet of 60 bytes, over>"
        sender.send_burst([bytes(9), bytes(7)])
        with receiver.rx_burst(3, TIMEOUT) as received:
            assert repr(received) == "<RxBurst of queue 0: 3 packets of 7 to 60 bytes>"


def test_an_interface_tells_why_there_is_no_link(tmp_path):
    path = str(tmp_path / "socket")
    with (
        Interface(path, role="master", secret=SECRET) as master,
        Interface(path, secret=SECRET[1:]) as slave,
    ):
        while not slave.details().last_error:
            with pytest.raises(TimeoutError):
                slave.wait_connected(0.01)
        why = "disconnected by the peer: incorrect secret"
        assert repr(slave) == f"<Interface slave {path!r} id=0 disconnected ({why})>"
        assert repr(master).startswith(f"<Interface master {path!r} id=0 disconnected")
        assert SECRET not in repr(master)
    assert repr(slave) == f"<Interface slave {path!r} id=0 closed>"


def test_an_interface_that_is_not_made_yet_can_be_shown(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        Interface(tmp_path / "no" / "socket", role="master")
    for entry in caught.traceback:
        shown = entry.frame.f_locals.get("self")
        if isinstance(shown, Interface):
            assert repr(shown).endswith("id=0 disconnected>")
            return
    pytest.fail("no frame of Interface")


def test_the_asynchronous_ones_tell_the_same(tmp_path):
    path = str(tmp_path / "socket")

    async def show() -> None:
        async with AsyncInterface(path, role="master") as interface:
            assert repr(interface) == f"<AsyncInterface master {path!r} id=0 disconnected>"
        transport, _ = await create_memif_endpoint(asyncio.DatagramProtocol, path, role="master")
        transport.sendto(b"kept")
        state = f"master {path!r} id=0 disconnected"
        assert repr(transport) == f"<MemifTransport {state}, 4 bytes unsent>"
        transport.abort()
        await asyncio.sleep(0)

    asyncio.run(show())


def test_the_adapters_tell_their_interface(tmp_path):
    scapy = pytest.importorskip("libmemif_py.adapters.scapy")
    metrics = pytest.importorskip("libmemif_py.adapters.metrics")
    with Interface(tmp_path / "socket", role="master") as interface:
        assert repr(scapy.MemifSocket(interface)) == f"<MemifSocket on queue 0 of {interface!r}>"
        collector = metrics.InterfaceCollector([interface])
        assert repr(collector) == f"InterfaceCollector([{interface!r}], prefix='memif')"
