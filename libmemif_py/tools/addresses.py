# SPDX-License-Identifier: Apache-2.0
"""IP and MAC addresses on the command line."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from .formats.echo import Address

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6, None: socket.AF_UNSPEC}
_NO_NAME = re.compile(r"[0-9.]*|.*[:%].*")
"""Numbers and colons are no name. getaddrinfo would take 1.2.3 for 1.2.0.3."""


def version_options(function: Callable) -> Callable:
    """Decorate a command: it gets 4, 6 or None as `version`."""
    for version in (6, 4):
        function = click.option(
            f"-{version}", "version", type=int, flag_value=version,
            help=f"Use IPv{version} where a name has addresses of both versions.",
        )(function)  # fmt: skip
    return function


def resolve(text: str, version: int | None = None) -> Address:
    """The IP address that an address or the name of a host means. Raises UsageError.

    A name is looked up as other programs do: in /etc/hosts, by DNS. `version` is 4 or 6.
    """
    try:
        found = ip_address(text)
    except ValueError:
        found = _look_up(text, version)
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        raise click.UsageError(f"{text!r}, expected an address without %{found.scope_id}")
    if found.is_multicast or found.is_unspecified:
        raise click.UsageError(f"{text!r}, expected the address of one host")
    if version not in (None, found.version):
        raise click.UsageError(f"{text!r} is an IPv{found.version} address, expected IPv{version}")
    return found


def _look_up(name: str, version: int | None) -> Address:
    if _NO_NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r}, expected an IP address such as 192.168.1.2 or fd00::2, or a host name"
        )
    try:
        found = socket.getaddrinfo(name, None, _FAMILIES[version], socket.SOCK_DGRAM)
    except socket.gaierror as error:
        raise click.UsageError(f"{name!r}: {error.strerror}") from error
    except UnicodeError as error:
        raise click.UsageError(f"{name!r}, expected a host name: {error}") from error
    return ip_address(str(found[0][4][0]).partition("%")[0])


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


def mac_of(ip: Address) -> bytes:
    """A locally administered MAC address, which ends as the IP address does."""
    return b"\x02\xfe" + ip.packed[-4:]


def neighbour(ip: Address) -> Address:
    """The IP address before `ip`, or the one after it where there is none before."""
    number = int(ip)
    return type(ip)(number - 1 if number & 255 > 1 else number + 1)
