# SPDX-License-Identifier: Apache-2.0
"""`vxlan:` in `memif bridge`: a VXLAN device of the kernel, which the bridge makes and removes.

A device outlives its maker if that is killed. So its name begins with PREFIX, and its maker holds
an abstract socket of this name meanwhile. The kernel keeps both per network namespace, and the
socket ends with the process: a device without a socket is left over.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import json
import socket
import struct
import subprocess
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

import click

from . import stop
from .addresses import resolve
from .devices import NAME_SIZE, PacketPort
from .options import parts_of
from .waiting import NoAnswer, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .formats.echo import Address

FORM = "vxlan:ID,remote=HOST,dev=NAME"
PREFIX = "memifvx"

_KEYS = {
    "remote": click.STRING,
    "dev": click.STRING,
    "port": click.IntRange(1, 2**16 - 1),
    "local": click.STRING,
    "mtu": click.IntRange(68, 2**16 - 1),
}
_MOST = 2**24 - 1
_PORT = 4789  # of IANA; the kernel's own default is an older one
_OVERHEAD = {4: 50, 6: 70}
"""Bytes that an MTU loses: the IP, UDP and VXLAN headers, and the inner Ethernet header."""
# <linux/sockios.h>, <linux/ethtool.h>
_SIOCGIFMTU, _SIOCETHTOOL, _GET_GRO, _SET_GRO = 0x8921, 0x8946, 0x2B, 0x2C


@dataclass(frozen=True)
class Vxlan:
    """What a word asks for."""

    word: str
    id: int
    remote: Address
    dev: str
    port: int = _PORT
    local: Address | None = None
    mtu: int | None = None

    @property
    def name(self) -> str:
        """The name of the device, at most 15 bytes."""
        return f"{PREFIX}{self.id}"

    def fitting_mtu(self) -> int:
        """The MTU of the device: the one that is asked for, else all that fits. Raises NoAnswer."""
        below = _mtu(self)
        most = below - _OVERHEAD[self.remote.version]
        if self.mtu is not None and self.mtu > most:
            raise NoAnswer(
                f"{self.word}: mtu {self.mtu}, expected at most {most}: {self.dev} has an MTU of "
                f"{below}, less {below - most} bytes of headers"
            )
        return self.mtu or most


def parse(word: str) -> Vxlan:
    """The device that a word names. Raises UsageError."""
    head, values = parts_of(word, _KEYS)
    number = head.removeprefix("vxlan:")
    if not (number.isascii() and number.isdigit()) or int(number) > _MOST:
        raise click.UsageError(f"{word!r} has ID {number!r}, expected a number from 0 to {_MOST}")
    for key in ("remote", "dev"):
        if not values.get(key):
            raise click.UsageError(f"{word!r} has no {key}, expected {FORM}")
    if not 0 < len(values["dev"].encode()) <= NAME_SIZE:
        raise click.UsageError(f"{word!r}, dev: expected a name of 1 to {NAME_SIZE} bytes")
    remote = _resolve(word, "remote", values.pop("remote"), None)
    if local := values.pop("local", None):
        values["local"] = _resolve(word, "local", local, remote.version)
    return Vxlan(word, int(number), remote, **values)


def _resolve(word: str, key: str, name: str, version: int | None) -> Address:
    try:
        return resolve(name, version)
    except click.UsageError as error:
        raise click.UsageError(f"{word!r}, {key}: {error.message}") from error


class VxlanPort(PacketPort):
    """A packet socket on a VXLAN device of its own.

    Needs CAP_NET_ADMIN and CAP_NET_RAW. The constructor raises NoAnswer.
    """

    def __init__(self, wanted: Vxlan, tell: Callable[[str], None]) -> None:
        """Make the device. `tell` gets a line about it, and what PacketPort tells.

        The caller holds signals back, so that none comes before it has noted the port.
        """
        mtu = wanted.fitting_mtu()
        _check_local(wanted)
        with contextlib.ExitStack() as undo:
            undo.enter_context(_claim(wanted))
            _tell_what_is_left(wanted, tell)
            _make(wanted, mtu)
            undo.callback(_remove, wanted.name)
            super().__init__(wanted.word, wanted.name, tell)
            self._undo = undo.pop_all()
        at = f"[{wanted.remote}]" if wanted.remote.version == 6 else str(wanted.remote)
        tell(
            f"{wanted.word}: {wanted.name} to {at}:{wanted.port} over {wanted.dev}; IP packets of "
            f"up to {mtu} bytes fit, longer ones are dropped"
        )
        if _gro(wanted.dev):
            tell(
                f"{wanted.word}: {wanted.dev} joins TCP packets that it receives: turn this off if "
                f"TCP from the other host stalls (`ethtool -K {wanted.dev} gro off`)"
            )

    def _now(self) -> tuple[int, str]:
        """Nobody makes the device again, so the command ends with it."""
        index, state = super()._now()
        if index != self._index:
            raise NoAnswer(f"{self.name}: the VXLAN device was deleted")
        return index, state

    def close(self) -> None:
        """See Port."""
        super().close()
        self._undo.close()


@contextlib.contextmanager
def _claim(wanted: Vxlan) -> Any:
    """Hold the name of the device. Raises NoAnswer if another process does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(f"\0{wanted.name}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise NoAnswer(f"{wanted.word}: {error.strerror}") from error
            raise NoAnswer(
                f"{wanted.word}: another bridge has ID {wanted.id} on this host, use another ID"
            ) from error
        yield


def _is_claimed(name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(f"\0{name}") != errno.ECONNREFUSED


def _tell_what_is_left(wanted: Vxlan, tell: Callable[[str], None]) -> None:
    """Remove our own device if a bridge that was killed left it, and name those of other IDs."""
    for _, name in socket.if_nameindex():
        if not name.startswith(PREFIX):
            continue
        if name == wanted.name:
            if _kind(wanted) != "vxlan":
                raise NoAnswer(f"{wanted.word}: {name} exists, and is no VXLAN device")
            _remove(name)
            tell(f"{wanted.word}: removed {name}, which a bridge that was killed had left")
        elif not _is_claimed(name):
            tell(
                f"{wanted.word}: {name} is left over from a bridge that was killed: "
                f"`ip link delete {name}` removes it"
            )


def _make(wanted: Vxlan, mtu: int) -> None:
    words = ["id", wanted.id, "remote", wanted.remote, "dev", wanted.dev, "dstport", wanted.port]
    if wanted.local is not None:
        words += ["local", wanted.local]
    # The kernel would learn from whoever sends where to send; there is one other host.
    link = ["type", "vxlan", *words, "nolearning"]
    _ip(wanted.word, "link", "add", wanted.name, "mtu", mtu, *link)
    try:
        with contextlib.suppress(NoAnswer):  # a kernel without IPv6
            # No packets of the kernel's own, which come from an address of the device.
            _ip(wanted.word, "link", "set", wanted.name, "addrgenmode", "none")
        _set_gro_off(wanted.name)
        _ip(wanted.word, "link", "set", wanted.name, "up")
    except BaseException:
        _remove(wanted.name)
        raise


def _remove(name: str) -> None:
    with stop.held(), contextlib.suppress(NoAnswer):  # if somebody else has removed it
        _ip(name, "link", "delete", name)


def _kind(wanted: Vxlan) -> str:
    (found,) = json.loads(_ip(wanted.word, "-json", "-d", "link", "show", "dev", wanted.name))
    return found.get("linkinfo", {}).get("info_kind", "")


def _ip(word: str, *words: object) -> str:
    """What the program `ip` prints. Raises NoAnswer with what it says."""
    # In a process group of its own, so that Ctrl+C does not end it.
    command = ["ip", *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, process_group=0)
    except FileNotFoundError as error:
        raise NoAnswer(f"{word}: needs the program ip: apt-get install iproute2") from error
    if done.returncode == 0:
        return done.stdout
    text = printable(" ".join(done.stderr.split()))
    if "Operation not permitted" in text:
        text += ", needs root or CAP_NET_ADMIN and CAP_NET_RAW"
    raise NoAnswer(f"{word}: ip: {text}")


def _check_local(wanted: Vxlan) -> None:
    if wanted.local is None:
        return
    family = socket.AF_INET6 if isinstance(wanted.local, IPv6Address) else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((str(wanted.local), 0))
        except OSError as error:
            raise NoAnswer(f"{wanted.word}: local {wanted.local}: {error.strerror}") from error


def _mtu(wanted: Vxlan) -> int:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16s24x", wanted.dev.encode())
            (mtu,) = struct.unpack_from("i", fcntl.ioctl(sock, _SIOCGIFMTU, request), 16)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise NoAnswer(f"{wanted.word}: dev {wanted.dev}: {error.strerror}") from error
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise NoAnswer(
            f"{wanted.word}: there is no network interface {wanted.dev}, expected one of: {names}"
        ) from error
    return mtu


def _gro(device: str) -> bool:
    """Whether a network interface joins packets of TCP that it receives, which no MTU allows."""
    return bool(_ethtool(device, _GET_GRO))


def _set_gro_off(device: str) -> None:
    _ethtool(device, _SET_GRO)


def _ethtool(device: str, command: int) -> int:
    """0 for a device that has no such setting."""
    value = array.array("I", [command, 0])
    request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        fcntl.ioctl(sock, _SIOCETHTOOL, request)
    return value[1]
