# SPDX-License-Identifier: Apache-2.0
"""Captures and packets are read whatever is wrong with them."""

import contextlib
import io
import random
import re
import struct

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRRMX
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from support.frames import FRAMES, tcpdump_lines
from support.memif_command import packets

from libmemif_py.tools.formats import decode, dns, pcapng


def test_broken_captures_never_surprise_the_reader():
    dice = random.Random(7)  # noqa: S311
    for kind in (pcapng.PcapWriter, pcapng.PcapngWriter):
        file = io.BytesIO()
        writer = kind(file)
        for frame in packets(5, most=100):
            writer.write(frame, 10**18)
        whole = file.getvalue()
        for _ in range(3000):
            broken = bytearray(whole[: dice.randint(0, len(whole))])
            for _ in range(dice.randint(0, 4) if broken else 0):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            with contextlib.suppress(pcapng.CaptureError):
                list(pcapng.read(io.BytesIO(bytes(broken))))


def test_both_byte_orders_and_all_packet_blocks_are_read():
    def block(kind: int, body: bytes) -> bytes:
        length = struct.pack(">I", len(body) + 12)
        return struct.pack(">I", kind) + length + body + length

    section = block(0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack(">HHI", 1, 0, 0) + struct.pack(">HHBxxx", 9, 1, 3))
    enhanced = block(6, struct.pack(">IIIII", 0, 0, 1500, 3, 9) + b"abc\0")
    simple = block(3, struct.pack(">I", 3) + b"def\0")
    old = block(2, struct.pack(">HHIIII", 0, 0, 0, 2500, 3, 3) + b"ghi\0")
    unknown = block(0xBAD, b"skip")
    file = io.BytesIO(section + interface + unknown + enhanced + simple + old)
    records = [(record.data, record.time_ns, record.length) for record in pcapng.read(file)]
    assert records == [(b"abc", 1_500_000_000, 9), (b"def", 0, 3), (b"ghi", 2_500_000_000, 3)]


def test_the_frame_check_sequence_that_a_header_declares_is_no_part_of_packets():
    def read(word: int, kept: int, length: int, data: bytes) -> list[tuple[bytes, int, int]]:
        header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, word)
        file = io.BytesIO(header + struct.pack("<IIII", 0, 0, kept, length) + data)
        return [(found.data, found.length, found.link_type) for found in pcapng.read(file)]

    four_bytes = 2 << 28 | 1 << 26 | 1
    assert read(four_bytes, 9, 9, b"fivesFCS!") == [(b"fives", 5, 1)]
    assert read(four_bytes, 7, 9, b"fivesFC") == [(b"fives", 5, 1)]
    assert read(four_bytes, 3, 9, b"fiv") == [(b"fiv", 5, 1)]
    assert read(2 << 28 | 1, 9, 9, b"fivesFCS!") == [(b"fivesFCS!", 9, 1)]  # not declared
    assert read(1 << 26 | 1, 5, 5, b"fives") == [(b"fives", 5, 1)]  # declared: there is none


@pytest.mark.parametrize("value", [4, 32], ids=["bytes", "bits"])
def test_the_frame_check_sequence_that_an_interface_declares_is_no_part_of_packets(value):
    def block(kind: int, body: bytes) -> bytes:
        length = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + length + body + length

    def packet(interface: int, data: bytes, length: int) -> bytes:
        head = struct.pack("<IIIII", interface, 0, 0, len(data), length)
        return block(6, head + data + bytes(-len(data) % 4))

    file = io.BytesIO(
        block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        + block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHBxxx", 13, 1, value))
        + block(1, struct.pack("<HHI", 1, 0, 0))
        + packet(0, b"fivesFCS!", 9)
        + packet(0, b"fivesFC", 9)
        + packet(0, b"fiv", 9)
        + packet(1, b"fivesFCS!", 9)  # this interface declares none
        + block(3, struct.pack("<I", 9) + b"fivesFCS!" + bytes(3))
    )
    found = [(record.data, record.length) for record in pcapng.read(file)]
    assert found == [(b"fives", 5), (b"fives", 5), (b"fiv", 5), (b"fivesFCS!", 9), (b"fives", 5)]


def test_every_frame_is_shown_as_tcpdump_shows_it():
    for name, frame in FRAMES.items():
        shown = decode.line(frame)
        expected = "\n".join(tcpdump_lines([frame], "-t"))
        if name == "vxlan":  # there in two lines, and with the flags
            assert shown == expected.replace(" flags [I] (0x0c),", "").replace("\n", ": ")
        elif name == "short":
            assert shown == "[|ether] 1 bytes"
        else:
            # Without -e tcpdump shows no tags.
            assert re.sub(r"vlan \d+, ", "", shown) == expected, name
    assert decode.line(FRAMES["icmp in qinq"]).startswith("vlan 5, vlan 6, IP 10.0.0.1 > ")
    assert ", vni 9: IP 10.0.0.1 > 10.0.0.2: ICMP echo request" in decode.line(FRAMES["vxlan"])


def test_the_length_of_an_802_3_frame_is_not_taken_for_a_type():
    frame = FRAMES["icmp"][:12] + bytes.fromhex("0026 424203") + bytes(43)
    shown = decode.line(frame)
    assert shown.endswith(", 802.3, length 38")
    (expected,) = tcpdump_lines([frame], "-t", "-e")
    assert expected.startswith(shown)


DNS_ANSWERS = {
    "77 1/0/0 CNAME a.example.": DNSRR(rrname="e.", type="CNAME", rdata="a.example."),
    "77 1/0/0 AAAA 2001:db8::7": DNSRR(rrname="e.", type="AAAA", rdata="2001:db8::7"),
    "77 1/0/0 MX m.example. 10": DNSRRMX(rrname="e.", preference=10, exchange="m.example."),
    '77 1/0/0 TXT "v=1"': DNSRR(rrname="e.", type="TXT", rdata="v=1"),
    "77 NXDomain*- 0/0/0": None,
}


@pytest.mark.parametrize(("expected", "record"), DNS_ANSWERS.items())
def test_dns_answers_are_shown_as_tcpdump_shows_them(expected, record):
    flags = {"rcode": 3, "aa": 1} if record is None else {"ra": 1}
    message = DNS(id=77, qr=1, qd=DNSQR(qname="e."), an=record or [], **flags)
    frame = bytes(Ether(FRAMES["dns answer"][:14]) / IP() / UDP(sport=53, dport=9) / message)
    (shown,) = tcpdump_lines([frame], "-t")
    assert decode.line(frame) == shown
    assert f"9: {expected} (" in shown


def test_a_hostile_name_or_tunnel_has_an_end():
    header = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0)
    for name in (b"\xc0\x0c", b"\x01a\xc0\x0c", b"\x3fa", b"\x01\x1b\0\0\1\0\1"):
        shown = dns.line(header + name, 99)
        assert shown is not None
        assert shown.isprintable()
    many = struct.pack("!HHHHHH", 1, 0x8000, 65535, 65535, 0, 0) + b"\0\0\1\0\1" * 13000
    assert "[|domain]" in dns.line(many, 65535)
    shell = FRAMES["vxlan"][: -len(FRAMES["icmp"]) + 4]  # what is around the inner frame
    inner = FRAMES["icmp"]
    while len(inner) + len(shell) < 65535:
        size = len(inner) + 8
        udp = shell[34:38] + struct.pack("!HH", size + 8, 0)
        ip = shell[14:16] + struct.pack("!H", size + 28) + shell[18:34]
        inner = shell[:14] + ip + udp + shell[42:50] + inner
    shown = decode.line(inner)
    assert shown.count("VXLAN") == 4
    assert shown.count("UDP, length") == 1


def test_no_packet_is_too_broken_for_a_line():
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.layers.l2 import ARP, Dot1Q, Ether

    ends = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
    ip, ip6 = IP(src="1.1.1.1", dst="2.2.2.2"), IPv6(src="::1", dst="::2")
    lines = {
        "IP 1.1.1.1.20 > 2.2.2.2.80: Flags [S], seq 0, win 8192, length 0": ip / TCP(),
        "IP 1.1.1.1.53 > 2.2.2.2.53: UDP, length 2": ip / UDP() / b"ab",
        "IP 1.1.1.1 > 2.2.2.2: ICMP echo request, id 1, seq 2, length 8": ip / ICMP(id=1, seq=2),
        "IP6 ::1 > ::2: ICMP6, echo request, id 3, seq 4, length 8": ip6
        / ICMPv6EchoRequest(id=3, seq=4),
        "ARP, Reply 1.1.1.1 is-at 02:00:00:00:00:01, length 28": ARP(
            op=2, psrc="1.1.1.1", hwsrc=ends["src"], hwdst=ends["dst"], pdst="2.2.2.2"
        ),
    }
    dice = random.Random(3)  # noqa: S311
    for expected, layer in lines.items():
        frame = bytes(Ether(**ends) / layer)
        assert decode.line(frame) == expected
        tagged = decode.line(bytes(Ether(**ends) / Dot1Q(vlan=7) / layer), link_level=True)
        assert ", vlan 7, " in tagged
        assert tagged.endswith(expected)
        for end in range(len(frame)):
            assert decode.line(frame[:end])
            decode.ip_line(frame[14:end])
        for _ in range(2000):
            broken = bytearray(frame)
            broken[dice.randrange(12, len(broken))] = dice.randrange(256)
            assert "\n" not in decode.line(bytes(broken), link_level=True)
    for frame in FRAMES.values():
        for end in range(len(frame)):
            assert decode.line(frame[:end], detail=decode.Detail.VERBOSE).isprintable()
        for _ in range(2000 if len(frame) > 12 else 0):
            broken = bytearray(frame)
            broken[dice.randrange(12, len(broken))] = dice.randrange(256)
            assert decode.line(bytes(broken)).isprintable()
