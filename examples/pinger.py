# SPDX-License-Identifier: Apache-2.0
"""Pings over a memif interface: one at a time, or many at once as load."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libmemif_py import Timeout
from libmemif_py.tools.formats.icmp import (
    HEADERS,
    EchoReply,
    Host,
    PacketError,
    arp_request,
    echo_request,
    is_arp,
    read_arp_reply,
    read_echo_reply,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from libmemif_py import Interface

BURST = 64
_PERIOD = 251
_PATTERN = bytes(i % _PERIOD for i in range(65536 + _PERIOD))


@dataclass(frozen=True)
class Load:
    """The result of many pings."""

    sent: int
    received: int
    seconds: float

    @property
    def lost(self) -> int:
        """Requests without an answer."""
        return self.sent - self.received


class Pinger:
    """Pings one host over one queue of an interface. Nobody else may receive from the queue."""

    def __init__(
        self,
        interface: Interface,
        host: Host,
        target: IPv4Address,
        *,
        identifier: int = 1,
        queue: int = 0,
        timeout: float = 5.0,
    ) -> None:
        """`host` has our own addresses. Answers may take `timeout` seconds."""
        self._interface = interface
        self._host = host
        self._target_ip = target
        self._target: Host | None = None
        self._identifier = identifier
        self._queue = queue
        self._timeout = timeout

    def resolve(self, attempts: int = 1) -> Host:
        """Ask for the target's MAC address, up to `attempts` times within the timeout.

        Raises Timeout, PacketError.
        """
        for attempt in range(1, attempts + 1):
            self._send([arp_request(self._host, self._target_ip)])
            try:
                frame = self._interface.recv(self._timeout / attempts, queue=self._queue)
            except Timeout:
                if attempt == attempts:
                    raise
            else:
                break
        found = read_arp_reply(frame, self._host)
        if found.ip != self._target_ip:
            raise PacketError(f"ARP reply from {found.ip}, expected {self._target_ip}")
        self._target = found
        return found

    def ping(self, sequence: int, frame_size: int) -> tuple[EchoReply, float]:
        """One answer, and the seconds that it took. Raises Timeout, PacketError."""
        request = self._request(sequence, frame_size)
        before = time.perf_counter()
        self._send([request])
        [frame] = self._receive(1)
        elapsed = time.perf_counter() - before
        reply = self._read(frame)
        if reply.sequence != sequence:
            raise PacketError(f"reply {reply.sequence}, expected {sequence}")
        if reply.payload != request[HEADERS:]:
            raise PacketError(f"reply {sequence} has not the payload that was sent")
        return reply, elapsed

    def load(self, count: int, frame_size: int, window: int) -> Load:
        """Send `count` pings, with at most `window` unanswered ones, so that no ring overflows.

        Raises PacketError for a wrong answer. A missing answer counts as lost.
        """
        unanswered: set[int] = set()
        sent = received = 0
        before = time.perf_counter()
        while sent < count or unanswered:
            room = min(BURST, window - len(unanswered), count - sent)
            if room > 0:
                sequences = [(sent + i) % 2**16 for i in range(room)]
                self._send([self._request(sequence, frame_size) for sequence in sequences])
                unanswered.update(sequences)
                sent += room
            try:
                frames = self._receive(BURST)
            except Timeout:
                break
            for frame in frames:
                reply = self._read(frame)
                if reply.sequence not in unanswered:
                    raise PacketError(f"reply {reply.sequence} was not waited for")
                if reply.payload != self._payload(reply.sequence, frame_size):
                    raise PacketError(f"reply {reply.sequence} has not the payload that was sent")
                unanswered.remove(reply.sequence)
            received += len(frames)
        return Load(sent, received, time.perf_counter() - before)

    def _send(self, frames: list[bytes]) -> None:
        self._interface.send_burst(frames, self._timeout, queue=self._queue)

    def _receive(self, count: int) -> list[bytes]:
        """At least one packet that is not ARP. A repeated ARP request may have a second answer."""
        while True:
            frames = self._interface.recv_burst(count, self._timeout, queue=self._queue)
            wanted = [frame for frame in frames if not is_arp(frame)]
            if wanted:
                return wanted

    def _request(self, sequence: int, frame_size: int) -> bytes:
        target = self._target or self.resolve()
        payload = self._payload(sequence, frame_size)
        return echo_request(self._host, target, self._identifier, sequence, payload)

    @staticmethod
    def _payload(sequence: int, frame_size: int) -> bytes:
        start = sequence % _PERIOD
        return _PATTERN[start : start + frame_size - HEADERS]

    def _read(self, frame: bytes) -> EchoReply:
        reply = read_echo_reply(frame, self._host)
        if (reply.source, reply.identifier) != (self._target_ip, self._identifier):
            raise PacketError(f"reply from {reply.source} to ping {reply.identifier}")
        return reply
