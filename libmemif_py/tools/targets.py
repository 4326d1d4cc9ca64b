# SPDX-License-Identifier: Apache-2.0
"""What `memif ping` and `respond` do differently for IPv4 and IPv6, with Ethernet and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .formats import icmp, icmp6
from .formats.echo import ETHERNET, PacketError, read_ethernet

if TYPE_CHECKING:
    from collections.abc import Callable

    from .formats.echo import Address, EchoError, EchoReply, Host


@dataclass(frozen=True)
class Family:
    """A version of IP. Packets begin with their IP header where nothing else is said."""

    discovery: str
    """How hosts find MAC addresses."""
    headers: int
    """Bytes of an echo request before its payload, with Ethernet."""
    ethertype: int
    question: Callable[[Host, Address], bytes]
    """A frame that asks for the MAC address of an IP address."""
    read_neighbour: Callable[[bytes, Host], Host]
    """The host that answered it with a frame."""
    request: Callable[[Address, Address, int, int, bytes, int], bytes]
    """An echo request: from, to, identifier, sequence number, payload, time to live."""
    read_reply: Callable[[bytes, Address], EchoReply]
    read_error: Callable[[bytes, Address], EchoError]
    answer: Callable[[bytes, Host], bytes | None]
    """A frame that answers one."""
    answer_ip: Callable[[bytes, Address], bytes | None]


_FAMILIES = {
    4: Family(
        discovery="ARP",
        headers=icmp.HEADERS,
        ethertype=icmp.TYPE_IP,
        question=icmp.arp_request,
        read_neighbour=icmp.read_arp_reply,
        request=icmp.ip_echo_request,
        read_reply=icmp.read_ip_echo_reply,
        read_error=icmp.read_ip_echo_error,
        answer=icmp.answer,
        answer_ip=icmp.answer_ip,
    ),
    6: Family(
        discovery="neighbour discovery",
        headers=icmp6.HEADERS,
        ethertype=icmp6.TYPE_IP6,
        question=icmp6.solicitation,
        read_neighbour=icmp6.read_advertisement,
        request=icmp6.ip_echo_request,
        read_reply=icmp6.read_ip_echo_reply,
        read_error=icmp6.read_ip_echo_error,
        answer=icmp6.answer,
        answer_ip=icmp6.answer_ip,
    ),
}


def family_of(ip: Address) -> Family:
    """The family of an address."""
    return _FAMILIES[ip.version]


class EthernetTarget:
    """A host whose MAC address is asked for, again if necessary."""

    def __init__(self, us: Host, ip: Address, ttl: int, via: Address | None = None) -> None:
        """`ttl` is the time to live of each request. `via` is the router to which it goes."""
        self.ip = ip
        self.asked = via or ip
        """Whose MAC address is asked for."""
        self.family = family_of(ip)
        self._us = us
        self._ttl = ttl
        self._mac: bytes | None = None
        self.was_found = False

    @property
    def is_ready(self) -> bool:
        """Whether requests can be sent."""
        return self._mac is not None

    def forget(self) -> None:
        """Ask for the MAC address again. VPP has another one after a restart."""
        self._mac = None

    def question(self) -> bytes:
        """A frame that asks for the MAC address."""
        return self.family.question(self._us, self.asked)

    def take_answer(self, frame: bytes) -> bool:
        """Whether this frame says the MAC address, which was asked for."""
        if self._mac is not None:
            return False
        try:
            found = self.family.read_neighbour(frame, self._us)
        except PacketError:
            return False  # other traffic
        if found.ip != self.asked:
            return False
        self._mac = found.mac
        self.was_found = True
        return True

    def request(self, identifier: int, sequence: int, payload: bytes) -> bytes:
        """An echo request."""
        if self._mac is None:
            raise PacketError(f"the other end has not answered {self.family.discovery} yet")
        ethernet = ETHERNET.pack(self._mac, self._us.mac, self.family.ethertype)
        ends = self._us.ip, self.ip
        return ethernet + self.family.request(*ends, identifier, sequence, payload, self._ttl)

    def read_reply(self, frame: bytes) -> EchoReply:
        """The reply in a frame. Raises PacketError."""
        return self.family.read_reply(self._packet(frame), self._us.ip)

    def read_error(self, frame: bytes) -> EchoError:
        """What somebody on the way says. Raises PacketError."""
        return self.family.read_error(self._packet(frame), self._us.ip)

    def _packet(self, frame: bytes) -> bytes:
        read_ethernet(frame, self._us.mac, self.family.ethertype)
        return frame[ETHERNET.size :]

    def reply_to(self, frame: bytes) -> bytes | None:
        """The answer if the other end asks for us; else None."""
        return self.family.answer(frame, self._us)


class IpTarget:
    """A host behind a memif whose packets begin with their IP header: there is no MAC address."""

    is_ready = was_found = True

    def __init__(self, us: Address, ip: Address, ttl: int) -> None:
        """See EthernetTarget."""
        self.ip = self.asked = ip
        self.family = family_of(ip)
        self._us = us
        self._ttl = ttl

    def forget(self) -> None:
        """See EthernetTarget."""

    def question(self) -> bytes:
        """Nobody asks: it is always ready."""
        return b""

    def take_answer(self, _packet: bytes) -> bool:
        """See EthernetTarget."""
        return False

    def request(self, identifier: int, sequence: int, payload: bytes) -> bytes:
        """See EthernetTarget."""
        return self.family.request(self._us, self.ip, identifier, sequence, payload, self._ttl)

    def read_reply(self, packet: bytes) -> EchoReply:
        """See EthernetTarget."""
        return self.family.read_reply(packet, self._us)

    def read_error(self, packet: bytes) -> EchoError:
        """See EthernetTarget."""
        return self.family.read_error(packet, self._us)

    def reply_to(self, packet: bytes) -> bytes | None:
        """See EthernetTarget."""
        return self.family.answer_ip(packet, self._us)
