# SPDX-License-Identifier: Apache-2.0
"""Faults to put into the machines: the search must find each, and name the claim that it breaks.

They show that the search notices. A fault whose text is not in the sources any more is an error.
"""

from __future__ import annotations

from typing import NamedTuple

from . import claims
from .rules import Change

MASTER, SLAVE = "master", "slave"
SETTINGS, ORDERS = "two machines, all settings", "two machines, all orders"


class Fault(NamedTuple):
    """A change, the part of the proof that finds it, and the claim that does not hold with it."""

    part: str
    claim: str
    change: Change
    # Rows that the reference's table loses or gains as well: the fault is then one of the protocol,
    # and only the claims about the graph as a whole find it.
    agreed: frozenset[tuple[str, str, str]] = frozenset()


def _in(
    part: str, claim: str, file: str, old: str, new: str, *agreed: tuple[str, str, str]
) -> Fault:
    return Fault(part, claim, Change(file, old, new), frozenset(agreed))


FAULTS = {
    # checks removed or turned
    "one ring more than allowed": _in(
        MASTER, claims.CONFORMS, "offer", "ring.index >= allowed", "ring.index > allowed"
    ),
    "one region more than HELLO allows": _in(
        MASTER, claims.CONFORMS, "offer", "region.index > self._max_region", "region.index > 1024"
    ),
    "the last region refused": _in(
        MASTER,
        claims.CONFORMS,
        "offer",
        "region.index > self._max_region",
        "region.index >= self._max_region",
    ),
    "a region added twice": _in(
        MASTER, claims.CONFORMS, "offer", "if region.index in self.regions:", "if False:"
    ),
    "a ring added twice": _in(
        MASTER, claims.CONFORMS, "offer", "if ring.index in rings:", "if False:"
    ),
    "a ring of 2^15 slots": _in(
        MASTER, claims.CONFORMS, "offer", "<= MAX_LOG2_RING_SIZE:", "<= MAX_LOG2_RING_SIZE + 1:"
    ),
    "a ring that holds no packet": _in(
        MASTER, claims.CONFORMS, "offer", "smallest = 1 if version", "smallest = 0 if version"
    ),
    "CONNECT without a ring": _in(
        MASTER, claims.CONFORMS, "offer", "if not self.s2m and not self.m2s:", "if False:"
    ),
    "a ring missing at CONNECT": _in(
        MASTER, claims.CONFORMS, "offer", "range(len(rings)):", "range(1, len(rings)):"
    ),
    "a ring in no region": _in(
        MASTER, claims.CONFORMS, "offer", "if ring.region not in self.regions:", "if False:"
    ),
    "a wrong secret": _in(
        MASTER, claims.CONFORMS, "handshake", "if not secrets_equal(secret, expected):", "if False:"
    ),
    "half a secret": _in(
        MASTER,
        claims.CONFORMS,
        "wire",
        "return up_to_nul(secret)[:SECRET_SIZE].ljust",
        "return up_to_nul(secret)[:4].ljust",
    ),
    "another mode": _in(MASTER, claims.CONFORMS, "handshake", "if mode != expected:", "if False:"),
    "the limits of HELLO alone": _in(
        MASTER, claims.CONFORMS, "handshake", "        check_version(init.version, settings)\n", ""
    ),
    "a version between 256 and 512": _in(
        MASTER,
        claims.CONFORMS,
        "handshake",
        "version not in (VERSION_1, VERSION_2) or not inside",
        "not inside",
    ),
    "private headers": _in(
        MASTER, claims.CONFORMS, "handshake", "if ring.private_hdr_size:", "if False:"
    ),
    "a long message": _in(
        MASTER,
        claims.CONFORMS,
        "wire",
        "if len(data) != MESSAGE_SIZE:",
        "if len(data) < MESSAGE_SIZE:",
    ),
    # exceptions
    "a short message": _in(
        MASTER,
        claims.EXCEPTIONS,
        "wire",
        "if len(data) != MESSAGE_SIZE:",
        "if len(data) > MESSAGE_SIZE:",
    ),
    "an error of the codec": _in(
        MASTER,
        claims.EXCEPTIONS,
        "handshake",
        'except WireError as error:\n            raise ProtocolError("MFMSG", ',
        'except WireError as error:\n            raise KeyError("MFMSG", ',
    ),
    "a method that is not there": _in(
        SLAVE,
        claims.EXCEPTIONS,
        "handshake",
        "    def _take_connected(",
        "    def _take_connect_ed(",
    ),
    # reasons
    "DISCONNECT without a reason": _in(
        MASTER,
        claims.REASONS,
        "handshake",
        "return self.disconnect(error.reason)",
        "return self.disconnect('')",
    ),
    "a refusal without a text": _in(
        MASTER, claims.REASONS, "handshake", '"a secret is required"', '""'
    ),
    "DISCONNECT with another code": _in(
        MASTER,
        claims.CONFORMS,
        "handshake",
        "Disconnect(0, fitting(reason))",
        "Disconnect(1, fitting(reason))",
    ),
    # descriptors
    "a descriptor of a refused message lost": _in(
        MASTER, claims.BALANCED, "handshake", "error.fds = tuple(fds)", "error.fds = ()"
    ),
    "the second descriptor lost": _in(
        MASTER, claims.BALANCED, "handshake", "error.fds = tuple(fds)", "error.fds = tuple(fds[:1])"
    ),
    "a second descriptor taken along": _in(
        MASTER, claims.CONFORMS, "offer", "if len(fds) > expected:", "if len(fds) > 2:"
    ),
    "a descriptor missing": _in(
        MASTER, claims.BALANCED, "offer", "if len(fds) < expected:", "if False:"
    ),
    "a descriptor not handed on": _in(
        MASTER,
        claims.BALANCED,
        "handshake",
        "[TakeRing(ring, fd), self._send(Ack())]",
        "[self._send(Ack())]",
    ),
    "a descriptor remembered": _in(
        MASTER,
        claims.BALANCED,
        "handshake",
        "        self._offer.add_region(region)\n",
        "        self._offer.add_region(region)\n        self.last_fd = fd\n",
    ),
    "any message of an untrusted peer with a descriptor": _in(
        MASTER,
        claims.CONFORMS,
        "handshake",
        "return kind if kind in FD_MISSING and (self.state, kind)",
        "return kind if (self.state, kind)",
    ),
    # states
    "DISCONNECT not taken while mapping": _in(
        MASTER,
        claims.CONFORMS,
        "handshake",
        '        (MAPPING, Disconnect): "_take_disconnect",\n',
        "",
    ),
    "a refused machine goes on": _in(
        MASTER,
        claims.ENDS,
        "handshake",
        "except ProtocolError as error:\n            self.state = CLOSED",
        "except ProtocolError as error:",
    ),
    "a closed machine receives": _in(
        MASTER,
        claims.CONFORMS,
        "handshake",
        "if self.state in (NEW, CLOSED):",
        "if self.state == NEW:",
    ),
    "a closed machine accepts": _in(
        MASTER,
        claims.MISUSE,
        "handshake",
        'self._require_state("accept", MAPPING)',
        'self._require_state("accept", MAPPING, CLOSED)',
    ),
    "a call at the wrong time closes": _in(
        MASTER,
        claims.MISUSE,
        "handshake",
        "        if self.state not in allowed:\n",
        "        if self.state not in allowed:\n            self.state = CLOSED\n",
    ),
    "CONNECTED without accept": _in(
        MASTER, claims.CONFORMS, "handshake", "self.state = MAPPING", "self.state = CONNECTED"
    ),
    "an offer that never ends": _in(
        SLAVE, claims.CONFORMS, "handshake", "self._unsent.pop(0)", "self._unsent[0]"
    ),
    "a slave with more rings than HELLO allows": _in(
        SLAVE,
        claims.CONFORMS,
        "handshake",
        "num_m2s=min(self.settings.num_m2s_rings, hello.max_m2s_ring + 1)",
        "num_m2s=self.settings.num_m2s_rings",
    ),
    "the lower version": _in(
        SLAVE,
        claims.CONFORMS,
        "handshake",
        "for version in (VERSION_2, VERSION_1):",
        "for version in (VERSION_1, VERSION_2):",
    ),
    # the graph as a whole
    "a state that the peer cannot leave": _in(
        MASTER,
        claims.EXITS,
        "handshake",
        '        (MAPPING, Disconnect): "_take_disconnect",\n',
        "",
        (MASTER, "MAPPING", "DISCONNECT"),
    ),
    "a state that leads nowhere": _in(
        MASTER,
        claims.REACHES,
        "handshake",
        '        (ADDING, Connect): "_take_connect",\n',
        "",
        (MASTER, "ADDING", "CONNECT"),
    ),
    "a transition that is not drawn": _in(
        SLAVE,
        claims.DRAWN,
        "handshake",
        '        (OFFERING, Ack): "_send_next",\n',
        '        (OFFERING, Ack): "_send_next",\n        (CONNECTED, Ack): "_send_next",\n',
        (SLAVE, "CONNECTED", "ACK"),
    ),
    # two machines
    "a ring that is not answered": _in(
        ORDERS,
        claims.DEADLOCK,
        "handshake",
        "return [TakeRing(ring, fd), self._send(Ack())]",
        "return [TakeRing(ring, fd)]",
    ),
    "two answers to a region": _in(
        SETTINGS,
        claims.AGREE,
        "handshake",
        "return [TakeRegion(region.index, region.size, fd), self._send(Ack())]",
        "return [TakeRegion(region.index, region.size, fd), self._send(Ack()), self._send(Ack())]",
    ),
    "the last ring forgotten": _in(
        SETTINGS, claims.BALANCED, "handshake", "if self._unsent:", "if len(self._unsent) > 1:"
    ),
    "the limit of the other direction": _in(
        SETTINGS,
        claims.AGREE,
        "handshake",
        "return min(self._chosen.num_s2m_rings, self._hello.max_s2m_ring + 1)",
        "return min(self._chosen.num_m2s_rings, self._hello.max_s2m_ring + 1)",
    ),
    "a DISCONNECT that does not end": _in(
        ORDERS,
        claims.AGREE,
        "handshake",
        '        (CONNECT_SENT, Disconnect): "_take_disconnect",\n',
        "",
    ),
}
