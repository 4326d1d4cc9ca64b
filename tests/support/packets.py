# SPDX-License-Identifier: Apache-2.0
"""Pings for tests: what the examples use, with a sender of ours and the responders' addresses."""

import sys
from ipaddress import IPv4Address
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "examples"))

from pinger import Pinger

from libmemif_py import Interface
from libmemif_py.tools.formats.icmp import (
    HEADERS,
    EchoReply,
    Host,
    PacketError,
    checksum,
    echo_request,
    read_arp_reply,
    read_echo_reply,
)

__all__ = [
    "HEADERS",
    "US",
    "EchoReply",
    "Host",
    "PacketError",
    "Pinger",
    "checksum",
    "echo_request",
    "ping_all_sizes",
    "pinger",
    "read_arp_reply",
    "read_echo_reply",
    "responder_ip",
]

US = Host(bytes.fromhex("020000000001"), IPv4Address("192.168.1.1"))
TIMEOUT = 30.0
SIZES = (64, 65, 128, 1514, 2048, 2049, 4096, 9000)


def responder_ip(index: int = 0) -> IPv4Address:
    """What an example program answers for on interface `index`."""
    return IPv4Address(f"192.168.{index + 1}.2")


def pinger(interface: Interface, target: IPv4Address | None = None, queue: int = 0) -> Pinger:
    return Pinger(interface, US, target or responder_ip(), queue=queue, timeout=TIMEOUT)


def ping_all_sizes(asker: Pinger) -> None:
    """Pings, and before them ARP, whose answers are right in every byte."""
    for sequence, size in enumerate(SIZES):
        asker.ping(sequence, size)
