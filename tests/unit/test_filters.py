# SPDX-License-Identifier: Apache-2.0
"""An interface with a filter gives the packets that tcpdump takes, and counts the others."""

import asyncio
import itertools
import sys

import pytest
from support.aio import pair as async_pair
from support.aio import runner
from support.builds import run
from support.frames import PACKETS, tcpdump_keeps
from support.pairs import RING, TIMEOUT, each_kind, in_thread, joined, pair, reconnect

from libmemif_py import (
    ArgumentError,
    Interface,
    NoConnectionError,
    Timeout,
    create_memif_endpoint,
    filters,
)
from libmemif_py.tools.formats import pcapng

FILTERS = [
    "",
    "icmp or vlan 5",
    "vlan 5 and vlan 6",
    "arp",
    "ip6",
    "tcp[tcpflags] & tcp-syn != 0",
    "udp port 2000 and greater 200",
    "ether src 02:fe:0a:00:00:01 and not ip",
    "mpls 16",
    "less 1",
]


def one_by_one(interface: Interface) -> list[bytes]:
    return [interface.recv(0)]


def in_place(interface: Interface) -> list[bytes]:
    with interface.rx_burst(timeout=0) as burst:
        return [bytes(packet) for packet in burst]


CALLS = {
    "recv": one_by_one,
    "recv_burst": lambda interface: interface.recv_burst(5, 0),
    "rx_burst": in_place,
    "any_queue.recv": lambda interface: [interface.any_queue.recv(0)],
    "any_queue.recv_burst": lambda interface: interface.any_queue.recv_burst(timeout=0),
    "any_queue.rx_burst": lambda interface: in_place(interface.any_queue),
}


def all_of(call, interface: Interface) -> list[bytes]:
    """What a call receives until nothing waits."""
    found: list[bytes] = []
    try:
        while True:
            found += call(interface)
    except Timeout:
        return found


@each_kind
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_gives_what_tcpdump_takes(version, role, call):
    with pair(version, role, ring_size=32) as (sender, receiver):
        for number, text in enumerate(FILTERS, 1):
            expected = tcpdump_keeps(PACKETS, text)
            receiver.set_filter(text)
            before = receiver.counters().rx[0]
            assert sender.send_burst(PACKETS, 0) == len(PACKETS)
            assert all_of(call, receiver) == expected, text
            now = receiver.counters().rx[0]
            assert now.filtered - before.filtered == len(PACKETS) - len(expected)
            assert now.packets == number * len(PACKETS)
            # All buffers went back to the sender.
            assert sender.tx_fill() == 0


def test_packets_of_mode_ip_begin_with_their_ip_header():
    packets = [packet[14:] for packet in PACKETS[1:2] + PACKETS[4:8]]
    with pair(mode="ip") as (sender, receiver):
        for text in ("icmp", "ip6", "udp port 2000"):
            receiver.set_filter(text)
            sender.send_burst(packets, 0)
            expected = tcpdump_keeps(packets, text, pcapng.RAW_IP)
            assert 0 < len(expected) < len(packets)
            assert all_of(CALLS["recv_burst"], receiver) == expected


def test_without_a_filter_all_packets_come_again():
    with pair(ring_size=32) as (sender, receiver):
        receiver.set_filter("icmp")
        receiver.set_filter(None)
        sender.send_burst(PACKETS, 0)
        assert all_of(CALLS["recv"], receiver) == PACKETS
        assert receiver.counters().rx[0].filtered == 0


def test_a_call_that_waits_waits_on_when_nothing_matches():
    with pair() as (sender, receiver):
        receiver.set_filter("icmp")
        thread, outcome = in_thread(lambda: receiver.recv(TIMEOUT))
        for _ in range(5):
            assert sender.send_burst([bytes(60)] * RING, TIMEOUT) == RING
            sender.flush(TIMEOUT)
        sender.send(PACKETS[1], TIMEOUT)
        joined(thread)
        assert outcome == [PACKETS[1]]
        assert receiver.counters().rx[0].filtered == 5 * RING


@pytest.mark.parametrize("call", ["recv", "recv_burst", "rx_burst"])
def test_a_call_with_a_time_limit_ends_in_a_flood_that_does_not_match(call):
    with pair() as (sender, receiver):
        receiver.set_filter("icmp")
        ends: list[bool] = []

        def flood() -> None:
            while not ends:
                sender.send_burst([bytes(60)] * RING, TIMEOUT)

        thread, outcome = in_thread(flood)
        with pytest.raises(Timeout):
            getattr(receiver, call)(timeout=0.2)
        ends.append(True)
        receiver.set_filter(None)
        while thread.is_alive():
            all_of(CALLS["recv_burst"], receiver)
        assert outcome == [None]


@each_kind
def test_what_a_link_left_is_filtered_too(version, role):
    with pair(version, role) as (sender, receiver):
        receiver.set_filter("icmp")
        others = [bytes(60)] * 9
        sender.send_burst([*others, PACKETS[1], *others[:5]], 0)
        reconnect(sender, receiver)
        sender.send(PACKETS[1], TIMEOUT)
        assert [receiver.recv(TIMEOUT), *receiver.recv_burst(9, TIMEOUT)] == [PACKETS[1]] * 2
        assert receiver.counters().rx[0].filtered == 14


def test_packets_of_several_buffers_are_seen_whole():
    last = bytes(2000) + b"\x07"
    with pair(ring_size=64) as (sender, receiver):
        receiver.set_filter("ether[2000] = 7")
        sender.send_burst([bytes(2001), last, bytes(60)], 0)
        with receiver.rx_burst(timeout=0) as burst:
            assert [bytes(packet) for packet in burst] == [last]
        assert sender.tx_fill() == 0


def test_a_burst_keeps_its_packets_while_it_is_open():
    packets = [bytes((number,)) * 100 for number in range(RING - 1)]
    with pair() as (sender, receiver):
        receiver.set_filter("ether[0] % 3 = 1")
        sender.send_burst(packets, 0)
        with receiver.rx_burst(timeout=0) as burst:
            sender.send_burst(packets, 0)  # they find no room in the slots of the burst
            assert [bytes(packet) for packet in burst] == packets[1::3]
            assert [bytes(row) for row in burst.data] == packets[1::3]
        assert all_of(CALLS["recv"], receiver) == []


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_awaited_calls_are_filtered(loop):
    async def main() -> None:
        async with async_pair() as (sender, receiver):
            await sender.send_burst([PACKETS[1], PACKETS[0], PACKETS[4], PACKETS[1]])
            assert await receiver.recv() == PACKETS[1]  # the others are taken ahead
            receiver.set_filter("tcp")
            assert await receiver.recv() == PACKETS[4]
            await sender.send_burst([PACKETS[1], PACKETS[4]])
            with await receiver.rx_burst() as burst:
                assert [bytes(packet) for packet in burst] == [PACKETS[4]]
            await sender.send_burst([PACKETS[1], PACKETS[4]])
            assert await receiver.any_queue.recv() == PACKETS[4]
            assert receiver.counters().rx[0].filtered == 4

    with runner(loop) as run:
        run(main)


def test_a_transport_delivers_what_matches():
    async def main() -> None:
        received: asyncio.Queue[bytes] = asyncio.Queue()

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data, _addr):
                received.put_nowait(data)

        with Interface("@filtered-transport", role="master") as peer:
            transport, _ = await create_memif_endpoint(Protocol, "@filtered-transport")
            transport.get_extra_info("interface").set_filter("tcp")
            await asyncio.to_thread(peer.send_burst, [PACKETS[1], PACKETS[4]], TIMEOUT)
            assert await received.get() == PACKETS[4]
            transport.close()

    with runner("asyncio") as run:
        run(main)


def test_each_queue_counts_its_own():
    with pair(s2m_rings=3, m2s_rings=3) as (sender, receiver):
        receiver.set_filter("icmp")
        for queue in range(3):
            sender.send_burst([bytes(60)] * queue + [PACKETS[1]], 0, queue=queue)
            assert receiver.recv(TIMEOUT, queue=queue) == PACKETS[1]
        assert [queue.filtered for queue in receiver.counters().rx] == [0, 1, 2]
        receiver.close()
        assert [queue.filtered for queue in receiver.counters().rx] == [0, 1, 2]


WRONG = {
    "icmp or": "syntax error",
    "port nowhere": "port 'nowhere'",
    "vlan 5000": "greater than maximum 4095",
    "a\0b": "zero byte",
}


@pytest.mark.parametrize(("text", "said"), WRONG.items())
def test_a_wrong_filter_is_refused_with_the_words_of_libpcap(text, said):
    with pair() as (sender, receiver):
        receiver.set_filter("tcp")
        with pytest.raises(ArgumentError, match=said):
            receiver.set_filter(text)
        sender.send_burst([PACKETS[1], PACKETS[4]], 0)
        assert all_of(CALLS["recv"], receiver) == [PACKETS[4]]  # the last good one still holds


def test_a_filter_is_text():
    with pair() as (_, receiver), pytest.raises(TypeError, match=r"filter b'icmp', expected str"):
        receiver.set_filter(b"icmp")


def test_a_closed_interface_takes_no_filter():
    with pair() as (_, receiver):
        receiver.close()
        with pytest.raises(NoConnectionError):
            receiver.set_filter("icmp")


LOADED = """
from libmemif_py import Interface
with Interface("@filters-loaded") as memif:
    for text in (None, "icmp"):
        memif.set_filter(text)
        print("libpcap" in open("/proc/self/maps").read())
"""


def test_libpcap_is_loaded_with_the_first_filter():
    assert run([sys.executable, "-P", "-c", LOADED]).stdout.split() == ["False", "True"]


def test_without_libpcap_the_error_names_the_package(monkeypatch):
    monkeypatch.setattr(filters, "_LIBRARIES", ("libpcap-is-missing.so",))
    filters._libpcap.cache_clear()
    try:
        with pair() as (_, receiver), pytest.raises(ImportError, match=r"install libpcap0\.8"):
            receiver.set_filter("icmp")
    finally:
        filters._libpcap.cache_clear()


def test_threads_may_change_the_filter_while_others_receive():
    with pair(ring_size=256) as (sender, receiver):
        sent = 5000

        def send() -> None:
            for number in range(sent):
                sender.send(PACKETS[1 if number % 2 else 4], TIMEOUT)

        def change() -> None:
            for text, _ in zip(itertools.cycle(["tcp", None, "icmp"]), range(3000), strict=False):
                receiver.set_filter(text)
            receiver.set_filter(None)

        (sending, _), (changing, outcome) = in_thread(send), in_thread(change)
        got = 0
        while sending.is_alive() or changing.is_alive():
            got += len(all_of(CALLS["rx_burst"], receiver))
        got += len(all_of(CALLS["recv_burst"], receiver))
        assert outcome == [None]
        assert got + receiver.counters().rx[0].filtered == sent
