# SPDX-License-Identifier: Apache-2.0
"""What `memif bridge` joins: memif interfaces, TAP devices, network interfaces."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from typing import TYPE_CHECKING

import click

from libmemif_py import MemifError

from .options import MOST_BYTES, InterfaceOptions, NoAnswer, options_of, told

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 256
_NAME_SIZE = 15
# <linux/if_tun.h>, <linux/if.h>, <linux/if_packet.h>
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI, _IFF_UP = 0x400454CA, 0x0002, 0x1000, 0x1
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA, _PACKET_IGNORE_OUTGOING = 263, 1, 8, 23
_PACKET_MR_PROMISC, _ETH_P_ALL = 1, 3
_AUXDATA = struct.Struct("IIIHHHH")  # status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_TP_STATUS_VLAN_VALID, _TP_STATUS_VLAN_TPID_VALID, _ETH_P_8021Q = 1 << 4, 1 << 6, 0x8100
_ADDRESSES = 12  # bytes of the two MAC addresses, which stand before the VLAN tag


class Port:
    """One side of a bridge. It counts the packets that it received, sent and dropped."""

    def __init__(self, name: str) -> None:
        """`name` is the word of the command line."""
        self.name = name
        self.received = self.sent = self.dropped = 0

    def fds(self) -> list[int]:
        """A descriptor for each queue; readable when the queue has packets."""
        raise NotImplementedError

    def pass_on(self, queue: int, consume: Callable[[list], None]) -> None:
        """Receive one burst of a queue without waiting, and pass it to `consume`."""
        raise NotImplementedError

    def take(self, packets: list, queue: int) -> None:
        """Send packets without waiting. Those that find no room are dropped, as on a wire."""
        sent = self._send(packets, queue)
        self.sent += sent
        self.dropped += len(packets) - sent

    def _send(self, packets: list, queue: int) -> int:
        raise NotImplementedError

    def close(self) -> None:
        """Release the port."""
        raise NotImplementedError


class MemifPort(Port):
    """A memif interface. It passes packets on in place, in shared memory."""

    def __init__(self, options: InterfaceOptions, tell: Callable[[str], None]) -> None:
        """Connect or listen. `tell` gets a line for each connection."""
        super().__init__(options.shown)
        self.options = options
        self.interface = options.open(**told(tell, options.shown))

    def fds(self) -> list[int]:
        """See Port."""
        return [self.interface.fileno(queue) for queue in range(self.options.queues)]

    def pass_on(self, queue: int, consume: Callable[[list], None]) -> None:
        """See Port. `consume` must not keep the packets: their slots go back to the peer."""
        try:
            burst = self.interface.rx_burst(BURST, 0, queue=queue)
        except MemifError:
            return  # no link, or no packets after all
        with burst:
            self.received += len(burst)
            packets = list(burst)
            try:
                consume(packets)
            finally:
                packets.clear()

    def _send(self, packets: list, queue: int) -> int:
        try:
            return self.interface.send_burst(packets, 0, queue=queue % self.options.queues)
        except MemifError:
            return 0  # no link, or no room

    def close(self) -> None:
        """See Port."""
        self.interface.close()


class _FilePort(Port):
    """A descriptor that reads or writes one packet with each call."""

    _fd: int

    def fds(self) -> list[int]:
        """See Port."""
        return [self._fd]

    def pass_on(self, queue: int, consume: Callable[[list], None]) -> None:
        """See Port."""
        packets: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while len(packets) < BURST:
                packets.append(self._receive())
        self.received += len(packets)
        if packets:
            consume(packets)

    def _receive(self) -> bytes:
        return os.read(self._fd, MOST_BYTES)

    def _send(self, packets: list, queue: int) -> int:
        return sum(map(self._send_one, packets))

    def _send_one(self, packet: bytes) -> bool:
        try:
            os.write(self._fd, packet)
        except OSError as error:
            # No room, too long or too short for the interface, or the interface is down.
            passing = (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE, errno.EINVAL, errno.EIO)
            if error.errno in (*passing, errno.ENETDOWN):
                return False
            raise NoAnswer(f"{self.name}: {error.strerror}") from error
        return True

    def close(self) -> None:
        """See Port."""
        os.close(self._fd)


class TapPort(_FilePort):
    """A TAP device of the kernel. It is created if it does not exist, and brought up."""

    def __init__(self, word: str, device: str) -> None:
        """Needs CAP_NET_ADMIN. Raises NoAnswer."""
        super().__init__(word)
        try:
            self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NoAnswer(f"{word}: /dev/net/tun: {error.strerror}") from error
        try:
            request = struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(self._fd, _TUNSETIFF, request)
            _bring_up(device)
        except OSError as error:
            self.close()
            raise NoAnswer(f"{word}: {error.strerror}{_rights(error)}") from error


class PacketPort(_FilePort):
    """A packet socket. It gets all packets that a network interface receives, not those we send."""

    def __init__(self, word: str, device: str) -> None:
        """Needs CAP_NET_RAW. Raises NoAnswer."""
        super().__init__(word)
        try:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            raise NoAnswer(f"{word}: {error.strerror}{_rights(error)}") from error
        self._socket = sock
        self._fd = sock.fileno()
        try:
            index = socket.if_nametoindex(device)
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            promiscuous = struct.pack("iHH8x", index, _PACKET_MR_PROMISC, 0)
            sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
            sock.bind((device, _ETH_P_ALL))
        except OSError as error:
            self.close()
            raise NoAnswer(
                f"{word}: {error.strerror}, expected an interface that `ip link` shows"
            ) from error

    def _receive(self) -> bytes:
        room = socket.CMSG_SPACE(_AUXDATA.size)
        packet, extra, _, _ = self._socket.recvmsg(MOST_BYTES, room)
        for level, kind, data in extra:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                return _with_tag(packet, data)
        return packet

    def close(self) -> None:
        """See Port."""
        self._socket.close()


def _with_tag(packet: bytes, auxdata: bytes) -> bytes:
    """The packet as it came. The kernel takes the outer VLAN tag out of it into the auxdata."""
    status, *_, tci, tpid = _AUXDATA.unpack(auxdata)
    if not status & _TP_STATUS_VLAN_VALID:
        return packet
    tpid = tpid if status & _TP_STATUS_VLAN_TPID_VALID else _ETH_P_8021Q
    return packet[:_ADDRESSES] + struct.pack("!HH", tpid, tci) + packet[_ADDRESSES:]


def _rights(error: OSError) -> str:
    return ", needs root or CAP_NET_ADMIN and CAP_NET_RAW" if error.errno == errno.EPERM else ""


def _bring_up(device: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH22x", device.encode(), 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)
        request = struct.pack("16sH22x", device.encode(), flags | _IFF_UP)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, request)


def open_port(word: str, defaults: InterfaceOptions, tell: Callable[[str], None]) -> Port:
    """The port for tap:NAME, if:NAME, or a memif as in options_of. Raises UsageError."""
    for prefix, kind in (("tap:", TapPort), ("if:", PacketPort)):
        if word.startswith(prefix):
            device = word.removeprefix(prefix)
            if not 0 < len(device.encode()) <= _NAME_SIZE or "/" in device or " " in device:
                raise click.UsageError(
                    f"{word!r}, expected {prefix}NAME with a name of 1 to {_NAME_SIZE} bytes"
                )
            return kind(word, device)
    return MemifPort(options_of(word, defaults), tell)
