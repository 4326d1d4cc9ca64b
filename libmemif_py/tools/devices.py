# SPDX-License-Identifier: Apache-2.0
"""The kernel's side of `memif bridge`: TAP and TUN devices, network interfaces."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from typing import TYPE_CHECKING

from .options import MOST_BYTES
from .ports import BURST, Port
from .waiting import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

NAME_SIZE = 15
"""Most bytes in the name of a network interface."""

# <linux/if_tun.h>, <linux/if.h>, <linux/if_arp.h>, <linux/if_packet.h>, <linux/rtnetlink.h>
_TUNSETIFF, _IFF_TUN, _IFF_TAP, _IFF_NO_PI, _IFF_UP = 0x400454CA, 0x0001, 0x0002, 0x1000, 0x1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8914, 0x8927
_ETHERNET_TYPES = (1, 772)  # ARPHRD_ETHER, ARPHRD_LOOPBACK
_IP_TYPES = (0xFFFE, 768, 776, 519)  # ARPHRD_NONE, ARPHRD_TUNNEL, ARPHRD_SIT, ARPHRD_RAWIP
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA, _PACKET_IGNORE_OUTGOING = 263, 1, 8, 23
_PACKET_STATISTICS, _SO_RCVBUFFORCE = 6, 33
_ROOM = 4 * 1024 * 1024
"""Bytes that the kernel keeps for us, with its own per packet; its default is 256 packets or so."""
_PACKET_MR_PROMISC, _ETH_P_ALL = 1, 3
_AUXDATA = struct.Struct("IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_TP_STATUS_VLAN_VALID, _TP_STATUS_VLAN_TPID_VALID, _ETH_P_8021Q = 1 << 4, 1 << 6, 0x8100
_ADDRESSES = 12  # bytes of the two MAC addresses, which stand before the VLAN tag
_RTMGRP_LINK = 1

_NO_ROOM = (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE, errno.EINVAL)
_NO_DEVICE = (errno.ENETDOWN, errno.ENODEV, errno.ENXIO, errno.EBADFD, errno.EIO)


def mode_of(device: str) -> str:
    """The mode of a memif that fits a network interface. Raises NoAnswer."""
    try:
        mode = _mode(device)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise NoAnswer(f"if:{device}: {error.strerror}") from error
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise NoAnswer(
            f"if:{device}: there is no such network interface, expected one of: {names}"
        ) from error
    if mode not in ("ethernet", "ip"):
        raise NoAnswer(f"if:{device}: has {mode}, expected an Ethernet or an IP interface")
    return mode


def _mode(device: str) -> str:
    (kind,) = struct.unpack_from("H", _ask(device, _SIOCGIFHWADDR), 16)
    if kind in _ETHERNET_TYPES:
        return "ethernet"
    return "ip" if kind in _IP_TYPES else f"link type {kind}"


class _Change:
    """What to say of a network interface."""

    UP = "the network interface is up again"
    DOWN = "the network interface is down, no packets pass until it is up"
    DELETED = "the network interface was deleted, no packets pass until there is one of this name"


class _DevicePort(Port):
    """A descriptor that reads or writes one packet with each call, for a network interface."""

    _fd: int

    def __init__(self, word: str, device: str, tell: Callable[[str], None]) -> None:
        """`tell` gets a line whenever the interface goes down, comes up, or is deleted."""
        super().__init__(word)
        self._device = device
        self._tell = tell
        self._index = 0
        self._state = _Change.UP
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._changes = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        try:
            self._changes.bind((0, _RTMGRP_LINK))
            self._open()
        except OSError as error:
            self._changes.close()
            raise NoAnswer(f"{word}: {error.strerror}{_advice(error)}") from error
        self._look()

    def fds(self) -> list[int]:
        """See Port."""
        return [self._fd]

    def events(self) -> dict[int, Callable[[], None]]:
        """See Port."""
        return {self._changes.fileno(): self._look}

    def pass_on(self, queue: int, consume: Callable[[list], None]) -> None:
        """See Port."""
        packets: list[bytes] = []
        try:
            while len(packets) < BURST:
                packets.append(self._receive())
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _NO_DEVICE:
                raise NoAnswer(f"{self.name}: {error.strerror}") from error
            self._look()
        self.received += len(packets)
        if packets:
            consume(packets)

    def _send(self, packets: list, queue: int) -> int:
        return sum(map(self._send_one, packets))

    def _send_one(self, packet: bytes) -> bool:
        try:
            os.write(self._fd, packet)
        except OSError as error:
            if error.errno in (*_NO_ROOM, *_NO_DEVICE):
                return False
            raise NoAnswer(f"{self.name}: {error.strerror}") from error
        return True

    def _look(self) -> None:
        """See whether the interface is up, and say what changed."""
        self._discard_events()
        index, state = self._now()
        if index not in (0, self._index):
            try:
                self._attach(index)
            except OSError:
                state = _Change.DELETED  # again, since we looked
        if state != self._state:
            self._state = state
            self._tell(f"{self.name}: {state}")

    def _discard_events(self) -> None:
        """They only wake us: the kernel may have dropped some, so the interface is asked."""
        while True:
            try:
                self._changes.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def _now(self) -> tuple[int, str]:
        try:
            try:
                index, name = socket.if_nametoindex(self._device), self._device
            except OSError:
                # Perhaps it was only renamed.
                index, name = self._index, socket.if_indextoname(self._index)
            return index, _Change.UP if _flags(name) & _IFF_UP else _Change.DOWN
        except OSError:
            return 0, _Change.DELETED

    def _open(self) -> None:
        """Open the descriptor. Raises OSError, and leaves nothing open then."""
        raise NotImplementedError

    def _attach(self, index: int) -> None:
        """Use the network interface of this index from now on. Raises OSError."""
        raise NotImplementedError

    def _receive(self) -> bytes:
        return os.read(self._fd, MOST_BYTES)

    def close(self) -> None:
        """See Port."""
        self._changes.close()
        os.close(self._fd)


class TapPort(_DevicePort):
    """A TAP device of the kernel. It is created if it does not exist, and brought up.

    Needs CAP_NET_ADMIN. The constructor raises NoAnswer.
    """

    _kind, _shown = _IFF_TAP, "TAP"

    def _open(self) -> None:
        try:
            self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise OSError(error.errno, f"/dev/net/tun: {error.strerror}") from error
        try:
            request = struct.pack("16sH22x", self._device.encode(), self._kind | _IFF_NO_PI)
            fcntl.ioctl(self._fd, _TUNSETIFF, request)
            _bring_up(self._device)
            self._index = socket.if_nametoindex(self._device)
        except OSError as error:
            os.close(self._fd)
            if error.errno == errno.EINVAL:
                text = f"exists, and is no {self._shown} device that we can use"
                raise OSError(error.errno, text) from error
            raise

    def _now(self) -> tuple[int, str]:
        """The descriptor does not outlive the device, so the command ends with it."""
        index, state = super()._now()
        if index != self._index:
            raise NoAnswer(f"{self.name}: the {self._shown} device was deleted")
        return index, state


class TunPort(TapPort):
    """A TUN device: its packets begin with an IP header."""

    _kind, _shown = _IFF_TUN, "TUN"


class PacketPort(_DevicePort):
    """A packet socket. It gets all packets that a network interface receives, not those we send.

    It goes on when the interface comes up again, or another one gets its name. Needs CAP_NET_RAW.
    The constructor raises NoAnswer.
    """

    def _open(self) -> None:
        self._mode = _mode(self._device)
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)
        self._fd = self._socket.fileno()
        self._lost = 0
        try:
            with contextlib.suppress(PermissionError):  # CAP_NET_RAW alone does not suffice
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            self._attach(socket.if_nametoindex(self._device))
        except OSError:
            self._socket.close()
            raise

    def _attach(self, index: int) -> None:
        if (mode := _mode(self._device)) != self._mode:
            raise NoAnswer(f"{self.name}: has {mode} packets now, expected {self._mode} as before")
        promiscuous = struct.pack("iHH8x", index, _PACKET_MR_PROMISC, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
        self._socket.bind((self._device, _ETH_P_ALL))
        self._index = index

    def _receive(self) -> bytes:
        room = socket.CMSG_SPACE(_AUXDATA.size)
        packet, extra, _, _ = self._socket.recvmsg(MOST_BYTES, room)
        for level, kind, data in extra:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                return _with_tag(packet, data)
        return packet

    def lost(self) -> int:
        """See Port."""
        data = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._lost += struct.unpack("II", data)[1]  # the kernel begins anew
        return self._lost

    def close(self) -> None:
        """See Port."""
        self._changes.close()
        self._socket.close()


def _with_tag(packet: bytes, auxdata: bytes) -> bytes:
    """The packet as it came. The kernel takes the outer VLAN tag out of it into the auxdata."""
    status, *_, tci, tpid = _AUXDATA.unpack(auxdata)
    if not status & _TP_STATUS_VLAN_VALID:
        return packet
    tpid = tpid if status & _TP_STATUS_VLAN_TPID_VALID else _ETH_P_8021Q
    return packet[:_ADDRESSES] + struct.pack("!HH", tpid, tci) + packet[_ADDRESSES:]


def _advice(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return ", needs root or CAP_NET_ADMIN and CAP_NET_RAW"
    return ", another program uses it" if error.errno == errno.EBUSY else ""


def _ask(device: str, request: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return fcntl.ioctl(sock, request, struct.pack("16s24x", device.encode()))


def _flags(device: str) -> int:
    (flags,) = struct.unpack_from("H", _ask(device, _SIOCGIFFLAGS), 16)
    return flags


def _bring_up(device: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH22x", device.encode(), _flags(device) | _IFF_UP)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, request)
