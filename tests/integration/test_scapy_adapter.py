# SPDX-License-Identifier: Apache-2.0
"""Scapy's functions run over memif: against the example responder, and against each other."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, ARP_am, Ether
from scapy.sendrecv import AsyncSniffer, sendp, sniff

from libmemif_py import Interface, errors
from libmemif_py.adapters.scapy import MemifSocket

TIMEOUT = 20.0
RESPONDER = Path(sys.prefix) / "bin" / "icmp_responder"
OUR_MAC, OUR_IP, ITS_IP = "02:00:00:00:00:01", "192.168.1.1", "192.168.1.2"


@contextlib.contextmanager
def responder(path: Path) -> Iterator[None]:
    """The C program as a slave of the interface."""
    process = subprocess.Popen(
        [RESPONDER, "-s", path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        process.stdin.write(b"conn 0 0\n")
        process.stdin.close()
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def sockets(tmp_path) -> Iterator[tuple[MemifSocket, MemifSocket]]:
    path = tmp_path / "socket"
    with MemifSocket(path, role="master") as one, MemifSocket(path) as other:
        one.interface.wait_connected(TIMEOUT)
        other.interface.wait_connected(TIMEOUT)
        yield one, other


def test_the_responder_answers_scapy(tmp_path):
    path = tmp_path / "socket"
    with MemifSocket(path, role="master") as sock, responder(path):
        sock.interface.wait_connected(TIMEOUT)
        who = Ether(src=OUR_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
            hwsrc=OUR_MAC, psrc=OUR_IP, pdst=ITS_IP
        )
        found = sock.sr1(who, timeout=TIMEOUT, verbose=False)
        assert (found[ARP].op, found[ARP].psrc, found[ARP].pdst) == (2, ITS_IP, OUR_IP)
        pings = [
            Ether(src=OUR_MAC, dst=found[ARP].hwsrc)
            / IP(src=OUR_IP, dst=ITS_IP)
            / ICMP(id=7, seq=i)
            / bytes(i)
            for i in range(1, 50)
        ]
        answered, lost = sock.sr(pings, timeout=TIMEOUT, verbose=False)
        assert len(lost) == 0
        assert [(a[ICMP].type, a[ICMP].seq) for _, a in answered] == [(0, i) for i in range(1, 50)]


def test_an_answering_machine_serves(sockets):
    one, other = sockets
    machine = ARP_am(IP_addr=ITS_IP, ARP_addr="02:00:00:00:00:09")
    machine.send_function = None
    machine.send_reply = lambda reply, send_function=None: other.send(reply)
    sniffer = AsyncSniffer(opened_socket=other, prn=machine.reply, store=False)
    started = threading.Event()
    sniffer.kwargs["started_callback"] = started.set
    sniffer.start()
    try:
        assert started.wait(TIMEOUT)
        who = Ether(src=OUR_MAC) / ARP(hwsrc=OUR_MAC, psrc=OUR_IP, pdst=ITS_IP)
        found = one.sr1(who, timeout=TIMEOUT, verbose=False)
        assert (found[ARP].psrc, found[ARP].hwsrc) == (ITS_IP, "02:00:00:00:00:09")
    finally:
        sniffer.stop()


def test_what_is_sent_is_sniffed(sockets):
    one, other = sockets
    packets = [Ether(src=OUR_MAC, dst=OUR_MAC) / IP(dst=ITS_IP, id=i) / ICMP() for i in range(20)]
    sendp(packets, socket=one, verbose=False)
    sniffed = sniff(opened_socket=other, count=20, timeout=TIMEOUT)
    assert [bytes(packet) for packet in sniffed] == [bytes(packet) for packet in packets]


def test_ip_mode_carries_ip(tmp_path):
    path = tmp_path / "socket"
    with MemifSocket(path, role="master", mode="ip") as one, Interface(path, mode="ip") as other:
        other.send(bytes(IP(dst=ITS_IP) / ICMP()), TIMEOUT)
        (packet,) = one.sniff(count=1, timeout=TIMEOUT)
        assert (type(packet), packet.dst) == (IP, ITS_IP)


def test_an_interface_that_was_given_stays_open(tmp_path):
    with Interface(tmp_path / "socket", role="master") as interface:
        with MemifSocket(interface, send_timeout=0) as sock:
            assert sock.recv() is None
            with pytest.raises(errors.Disconnected):
                sock.send(Ether())
        assert interface.fileno() >= 0
        with pytest.raises(TypeError, match="made already"):
            MemifSocket(interface, role="master")
