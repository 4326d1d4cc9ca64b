# SPDX-License-Identifier: Apache-2.0
"""IPv6 pings are those that Scapy makes, byte by byte; its ICMP errors are read."""

import contextlib
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.layers.l2 import Ether

from libmemif_py.tools.formats import icmp, icmp6
from libmemif_py.tools.formats.echo import EchoError, Host, PacketError, with_checksum

US = Host(bytes.fromhex("020000000001"), IPv6Address("fd00::1"))
THEM = Host(bytes.fromhex("020000000002"), IPv6Address("fd00::12:3456"))
GROUP, GROUP_MAC = "ff02::1:ff12:3456", "33:33:ff:12:34:56"
OUR_MAC, THEIR_MAC = US.mac.hex(":"), THEM.mac.hex(":")
PAYLOAD = bytes(range(57))


def between(source: Host, target: Host, **fields):
    return Ether(src=source.mac.hex(":"), dst=target.mac.hex(":")) / IPv6(
        src=str(source.ip), dst=str(target.ip), **fields
    )


def solicitation(source=str(US.ip), target=GROUP, mac=GROUP_MAC, hops=255, options=True):
    packet = Ether(src=OUR_MAC, dst=mac) / IPv6(src=source, dst=target, hlim=hops)
    packet /= ICMPv6ND_NS(tgt=str(THEM.ip))
    return bytes(packet / ICMPv6NDOptSrcLLAddr(lladdr=OUR_MAC) if options else packet)


def advertisement(solicited=1, target=str(US.ip), mac=OUR_MAC, hops=255):
    packet = Ether(src=THEIR_MAC, dst=mac) / IPv6(src=str(THEM.ip), dst=target, hlim=hops)
    packet /= ICMPv6ND_NA(R=0, S=solicited, O=1, tgt=str(THEM.ip))
    return bytes(packet / ICMPv6NDOptDstLLAddr(lladdr=THEIR_MAC))


def test_a_solicitation_goes_to_the_group_of_the_address():
    assert icmp6.solicitation(US, THEM.ip) == solicitation()


@pytest.mark.parametrize(
    "asked",
    [
        solicitation(),
        solicitation(target=str(THEM.ip), mac=THEIR_MAC),
        solicitation(target=str(THEM.ip), mac=THEIR_MAC, options=False),
    ],
    ids=["to the group", "to the host", "without its own address"],
)
def test_a_solicitation_is_answered(asked):
    assert icmp6.answer(asked, THEM) == advertisement()


def test_who_wants_the_address_itself_is_answered_where_all_hear_it():
    asked = solicitation(source="::", options=False)
    wanted = advertisement(solicited=0, target="ff02::1", mac="33:33:00:00:00:01")
    assert icmp6.answer(asked, THEM) == wanted


def test_a_solicitation_that_passed_a_router_or_is_for_another_host_is_not_answered():
    assert icmp6.answer(solicitation(hops=254), THEM) is None
    assert icmp6.answer(solicitation(), US) is None
    good = solicitation()
    for place in (60, len(good) - 1):
        broken = good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :]
        assert icmp6.answer(broken, THEM) is None
    for length in range(len(good)):
        assert icmp6.answer(good[:length], THEM) is None


def test_an_advertisement_is_read():
    assert icmp6.read_advertisement(advertisement(), US) == THEM
    good = advertisement()
    for wrong in (advertisement(hops=64), solicitation(), *(good[:n] for n in range(len(good)))):
        with pytest.raises(PacketError):
            icmp6.read_advertisement(wrong, US)


def test_options_that_do_not_end_are_not_followed():
    packet = Ether(src=THEIR_MAC, dst=OUR_MAC) / IPv6(src=str(THEM.ip), dst=str(US.ip), hlim=255)
    packet /= ICMPv6ND_NA(R=0, S=1, O=1, tgt=str(THEM.ip))
    with pytest.raises(PacketError, match="without a MAC address"):
        icmp6.read_advertisement(bytes(packet / bytes(16)), US)


def test_an_echo_request_and_its_answer():
    wanted = between(US, THEM, hlim=9) / ICMPv6EchoRequest(id=7, seq=3, data=PAYLOAD)
    packet = icmp6.ip_echo_request(US.ip, THEM.ip, 7, 3, PAYLOAD, 9)
    assert packet == bytes(wanted[IPv6])
    answer = between(THEM, US, hlim=64) / ICMPv6EchoReply(id=7, seq=3, data=PAYLOAD)
    assert icmp6.answer(bytes(wanted), THEM) == bytes(answer)
    assert icmp6.answer_ip(packet, THEM.ip) == bytes(answer[IPv6])
    reply = icmp6.read_ip_echo_reply(bytes(answer[IPv6]), US.ip)
    assert (reply.source, reply.target, reply.ttl) == (THEM.ip, US.ip, 64)
    assert (reply.identifier, reply.sequence, reply.payload) == (7, 3, PAYLOAD)


def test_an_echo_request_is_answered_with_the_padding_of_its_frame():
    request = between(US, THEM) / ICMPv6EchoRequest(id=7, seq=3)
    answer = between(THEM, US) / ICMPv6EchoReply(id=7, seq=3)
    assert icmp6.answer(bytes(request) + bytes(5), THEM) == bytes(answer) + bytes(5)


def test_a_reply_of_which_a_bit_flipped_is_refused():
    good = bytes((between(THEM, US) / ICMPv6EchoReply(id=7, seq=3, data=PAYLOAD))[IPv6])
    for place in [*range(4, 7), *range(8, len(good))]:  # the others may change on the way
        broken = good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :]
        with pytest.raises(PacketError):
            icmp6.read_ip_echo_reply(broken, US.ip)
    with pytest.raises(PacketError, match="wrong ICMPv6 checksum"):
        icmp6.read_ip_echo_reply(good[:-1] + b"x", US.ip)


ROUTER = Host(bytes.fromhex("020000000009"), IPv6Address("fd00::9"))
QUOTED = IPv6(src=str(US.ip), dst=str(THEM.ip)) / ICMPv6EchoRequest(id=7, seq=3, data=PAYLOAD)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ICMPv6TimeExceeded(code=0), "Time exceeded: Hop limit"),
        (ICMPv6DestUnreach(code=0), "Destination unreachable: No route"),
        (ICMPv6DestUnreach(code=6), "ICMPv6 error, type 1, code 6"),
        (ICMPv6PacketTooBig(mtu=1280), "Packet too big: mtu=1280"),
    ],
)
def test_ipv6_errors_about_a_request_are_read(error, text):
    packet = bytes((between(ROUTER, US) / error / QUOTED)[IPv6])
    read = icmp6.read_ip_echo_error(packet, US.ip)
    assert read == EchoError(ROUTER.ip, THEM.ip, 7, 3, text)
    for wrong in (packet[:-1] + b"x", *(packet[:length] for length in range(len(packet)))):
        with pytest.raises(PacketError):
            icmp6.read_ip_echo_error(wrong, US.ip)
    with pytest.raises(PacketError):
        icmp6.read_ip_echo_error(packet, THEM.ip)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ICMP(type=11, code=0), "Time to live exceeded"),
        (ICMP(type=3, code=1), "Destination Host Unreachable"),
        (ICMP(type=3, code=7), "ICMP error, type 3, code 7"),
        (ICMP(type=3, code=4, nexthopmtu=1400), "Frag needed and DF set (mtu = 1400)"),
    ],
)
def test_ipv4_errors_about_a_request_are_read(error, text):
    us, them, router = map(IPv4Address, ("10.0.0.1", "10.9.0.2", "10.0.0.9"))
    request = icmp.ip_echo_request(us, them, 7, 3, PAYLOAD, 1)
    assert IP(request).ttl == 1
    packet = bytes(IP(src=str(router), dst=str(us)) / error / request[:28])
    read = icmp.read_ip_echo_error(packet, us)
    assert read == EchoError(router, them, 7, 3, text)
    for wrong in (packet[:-1] + b"x", *(packet[:length] for length in range(len(packet)))):
        with pytest.raises(PacketError):
            icmp.read_ip_echo_error(wrong, us)
    other = bytes(IP(src=str(router), dst=str(us)) / error / IP(src="1.1.1.1") / bytes(8))
    with pytest.raises(PacketError, match="another packet"):
        icmp.read_ip_echo_error(other, us)


def whole(body: bytes, version: int) -> bytes:
    """An ICMP message from anybody in a packet to us, with right lengths and checksums."""
    body = body[:2] + bytes(2) + body[4:]
    if version == 4:
        packet = IP(src="10.0.0.9", dst="10.0.0.1", proto=1) / with_checksum(body, 2)
        return bytes(packet)
    pseudo = US.ip.packed + US.ip.packed + len(body).to_bytes(4, "big") + bytes((0, 0, 0, 58))
    header = IPv6(src=str(US.ip), dst=str(US.ip), nh=58, hlim=255)
    return bytes(header / with_checksum(body, 2, pseudo))


KINDS = st.sampled_from([0, 3, 8, 11, 1, 2, 128, 129, 135, 136]).map(lambda kind: bytes((kind,)))


@pytest.mark.parametrize("version", [4, 6])
@given(kind=KINDS, rest=st.binary(min_size=3, max_size=80), padding=st.sampled_from([0, 40]))
def test_no_message_breaks_a_reader(version, kind, rest, padding):
    """They return, or raise PacketError, also for messages that are too short."""
    packet = whole(kind + rest, version) + bytes(padding)
    module = icmp if version == 4 else icmp6
    us = Host(US.mac, IPv4Address("10.0.0.1") if version == 4 else US.ip)
    ethertype = bytes.fromhex("0800" if version == 4 else "86dd")
    frame = US.mac + THEM.mac + ethertype + packet
    for read in (module.read_ip_echo_reply, module.read_ip_echo_error):
        with contextlib.suppress(PacketError):
            read(packet, us.ip)
    with contextlib.suppress(PacketError):
        icmp6.read_advertisement(frame, us)
    module.answer(frame, us)
    module.answer_ip(packet, us.ip)
