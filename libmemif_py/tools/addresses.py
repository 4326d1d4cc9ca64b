# SPDX-License-Identifier: Apache-2.0
"""IP and MAC addresses on the command line."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address
from typing import Any

import click


class Ipv4(click.ParamType):
    """An IPv4 address such as 192.168.1.2."""

    name = "address"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> IPv4Address:
        """Convert text. Calls `fail` if it is wrong."""
        try:
            return IPv4Address(value)
        except AddressValueError:
            self.fail(
                f"{value!r}, expected an IPv4 address such as 192.168.1.2", parameter, context
            )


class Mac(click.ParamType):
    """A MAC address of one host, such as 02:fe:00:00:00:01."""

    name = "mac"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> bytes:
        """Convert text. Calls `fail` if it is wrong."""
        if isinstance(value, bytes):
            return value
        try:
            mac = bytes(int(part, 16) for part in value.split(":"))
        except ValueError:
            mac = b""
        if len(mac) != 6 or mac[0] & 1:
            self.fail(
                f"{value!r}, expected a MAC address of one host such as 02:fe:00:00:00:01",
                parameter,
                context,
            )
        return mac


def mac_of(ip: IPv4Address) -> bytes:
    """A locally administered MAC address, different for each IP address."""
    return b"\x02\xfe" + ip.packed


def neighbour(ip: IPv4Address) -> IPv4Address:
    """The IP address before `ip`, or the one after it where there is none before."""
    number = int(ip)
    return IPv4Address(number - 1 if number & 255 > 1 else number + 1)
