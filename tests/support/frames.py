# SPDX-License-Identifier: Apache-2.0
"""Frames of many protocols, and what tcpdump makes of them."""

import io
import subprocess

from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from libmemif_py.tools.formats import pcapng

_MACS = {"src": "02:fe:0a:00:00:01", "dst": "02:fe:0a:00:00:02"}


def _ether(rest, **fields) -> bytes:
    return bytes(Ether(**_MACS, **fields) / rest)


def _ip(**fields):
    return IP(src="10.0.0.1", dst="10.0.0.2", **fields)


def _ip6(**fields):
    return IPv6(src="fe80::1", dst="fe80::2", **fields)


QUESTION = DNS(id=77, rd=1, qd=DNSQR(qname="example.org", qtype="AAAA"))
ANSWER = DNS(
    id=77,
    qr=1,
    rd=1,
    ra=1,
    qd=DNSQR(qname="example.org"),
    an=DNSRR(rrname="example.org", ttl=60, rdata="192.0.2.7"),
)
_INNER = Ether(**_MACS) / _ip() / ICMP(id=7, seq=5)
_LABELS = bytes.fromhex("0001003f 00014140")  # 16, and 20 at the bottom of the stack
FRAMES = {
    "arp": _ether(ARP(psrc="10.0.0.1", pdst="10.0.0.2", hwsrc=_MACS["src"])),
    "icmp": _ether(_ip() / ICMP(id=7, seq=1) / b"ping"),
    "icmp in vlan 5": _ether(Dot1Q(vlan=5) / _ip() / ICMP(id=7, seq=2) / b"ping"),
    "icmp in qinq": _ether(Dot1AD(vlan=5) / Dot1Q(vlan=6) / _ip() / ICMP(id=7, seq=3)),
    "tcp": _ether(_ip() / TCP(sport=1000, dport=80, flags="S", seq=1)),
    "udp": _ether(_ip() / UDP(sport=1000, dport=2000) / b"data"),
    "icmp6": _ether(_ip6() / ICMPv6EchoRequest(id=7, seq=4)),
    "udp over ip6": _ether(_ip6() / UDP(sport=1000, dport=2000) / b"data"),
    "dns question": _ether(_ip() / UDP(sport=1000, dport=53) / QUESTION),
    "dns answer": _ether(_ip() / UDP(sport=53, dport=1000) / ANSWER),
    "vxlan": _ether(_ip() / UDP(sport=1000, dport=4789) / VXLAN(vni=9) / _INNER),
    "mpls": _ether(_LABELS + bytes(_ip() / ICMP(id=7, seq=6)), type=0x8847),
    "short": b"\x02",
    "long": _ether(_ip() / UDP(sport=1000, dport=2000) / bytes(1000)),
    "neighbour solicitation": _ether(_ip6() / ICMPv6ND_NS(tgt="fe80::2")),
    "neighbour advertisement": _ether(_ip6() / ICMPv6ND_NA(tgt="fe80::1")),
}
PACKETS = [*FRAMES.values()]


def written(packets: list[bytes], link_type: int = pcapng.ETHERNET) -> bytes:
    """A capture of the packets."""
    file = io.BytesIO()
    writer = pcapng.PcapWriter(file, link_type)
    for number, packet in enumerate(packets):
        writer.write(packet, number * 1_000_000)
    return file.getvalue()


def tcpdump(capture: bytes, *words: str) -> bytes:
    """What tcpdump makes of a capture. Through pipes: AppArmor keeps it from many files."""
    command = ["tcpdump", "-n", "-r", "-", *words]
    return subprocess.run(
        command, input=capture, capture_output=True, check=True, timeout=60
    ).stdout


def tcpdump_lines(packets: list[bytes], *words: str) -> list[str]:
    """What tcpdump shows of packets."""
    return tcpdump(written(packets), *words).decode().splitlines()


def tcpdump_keeps(packets: list[bytes], text: str, link_type: int = pcapng.ETHERNET) -> list[bytes]:
    """Those of the packets that tcpdump reads with a filter."""
    kept = io.BytesIO(tcpdump(written(packets, link_type), "-w", "-", text))
    return [record.data for record in pcapng.read(kept)]
