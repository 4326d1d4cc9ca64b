# SPDX-License-Identifier: Apache-2.0
"""Shells without I/O around the two handshake machines, a link between them, recorded peers.

Descriptors are tokens: any object will do, because a machine only hands them on.
"""

import json
from collections import deque
from pathlib import Path
from types import SimpleNamespace

from libmemif_py.control import actions, handshake, wire

CAPTURES = Path(__file__).parent / "captures"


def master_terms(**changes):
    terms = {
        "if_name": b"master/0",
        "mode": wire.MODE_ETHERNET,
        "secret": b"",
        "num_s2m_rings": 255,
        "num_m2s_rings": 255,
        "min_version": wire.VERSION_1,
        "max_version": wire.VERSION_2,
    }
    return SimpleNamespace(**{**terms, **changes})


def slave_terms(**changes):
    terms = {
        "app_name": b"slave app",
        "if_name": b"slave/0",
        "interface_id": 7,
        "mode": wire.MODE_ETHERNET,
        "secret": b"",
        "num_s2m_rings": 1,
        "num_m2s_rings": 1,
        "log2_ring_size": 10,
        "min_version": wire.VERSION_1,
        "max_version": wire.VERSION_2,
    }
    return SimpleNamespace(**{**terms, **changes})


def finder(terms, interface_id=7):
    """A find_interface that knows one interface."""

    def find_interface(wanted):
        if wanted != interface_id:
            raise actions.ProtocolError("ID", f"no interface {wanted}")
        return terms

    return find_interface


class Shell:
    """Executes actions: keeps what was sent, which descriptors arrived, what was announced."""

    def __init__(self, machine):
        self.machine = machine
        self.outbox = deque()
        self.sent = []
        self.received_fds = []
        self.done = []
        self.error = None

    def receive(self, data, fds):
        """Returns False when the peer was refused; the DISCONNECT is then in the outbox."""
        try:
            self.perform(self.machine.receive(data, fds))
        except actions.ProtocolError as error:
            self.refused(error)
        return self.error is None

    def refused(self, error):
        self.error = error
        self.received_fds.extend(error.fds)
        self.perform(self.machine.refuse(error))

    def perform(self, answers):
        for action in answers:
            self.done.append(action)
            getattr(self, f"do_{type(action).__name__.lower()}")(action)

    def do_send(self, action):
        self.outbox.append((action.data, [] if action.fd is None else [action.fd]))
        self.sent.append(wire.decode(action.data, self.machine.version or wire.VERSION_2))

    def do_established(self, action):
        pass

    def do_closed(self, action):
        pass

    def named(self, action_class):
        return [action for action in self.done if type(action) is action_class]


class MasterShell(Shell):
    def do_select(self, action):
        pass

    def do_takeregion(self, action):
        self.received_fds.append(action.fd)

    def do_takering(self, action):
        self.received_fds.append(action.fd)

    def do_establish(self, _action):
        self.perform(self.machine.accept())


class SlaveShell(Shell):
    """Offers `regions`, and rings spread over them in steps of `ring_step` bytes."""

    def __init__(self, machine, regions=(4096,), ring_step=128, s2m=None, m2s=None):
        super().__init__(machine)
        self.regions = regions
        self.ring_step = ring_step
        self.s2m = s2m
        self.m2s = m2s
        self.offered_fds = []

    def do_prepare(self, action):
        regions = [(size, self._fd(f"memfd {i}")) for i, size in enumerate(self.regions)]
        s2m = self._rings("S2M", self.s2m, action.num_s2m)
        m2s = self._rings("M2S", self.m2s, action.num_m2s)
        self.perform(self.machine.offer(regions=regions, s2m=s2m, m2s=m2s))

    def _rings(self, direction, places, count):
        if places is None:
            places = [(i % len(self.regions), i * self.ring_step) for i in range(count)]
        return [
            (region, offset, self._fd(f"{direction} eventfd {i}"))
            for i, (region, offset) in enumerate(places)
        ]

    def _fd(self, token):
        self.offered_fds.append(token)
        return token


class FakeLink:
    """A control channel that delivers every datagram, in order, until both sides are silent."""

    def __init__(self, master, slave):
        self.master = master
        self.slave = slave

    @classmethod
    def between(cls, master, slave, find=None, **slave_options):
        """A link between two machines made of these terms."""
        master_machine = handshake.MasterHandshake(b"master app", find or finder(master))
        slave_machine = handshake.SlaveHandshake(slave)
        return cls(MasterShell(master_machine), SlaveShell(slave_machine, **slave_options))

    def connect(self):
        self.master.perform(self.master.machine.start())
        self.deliver()
        return self

    def deliver(self):
        while self.master.outbox or self.slave.outbox:
            self._move(self.master, self.slave)
            self._move(self.slave, self.master)

    @staticmethod
    def _move(sender, receiver):
        while sender.outbox:
            data, fds = sender.outbox.popleft()
            if receiver.machine.state != handshake.CLOSED:
                receiver.receive(data, fds)


class Recording:
    """One recorded handshake. The tokens of descriptors are unique within it."""

    def __init__(self, path):
        self.name = path.stem
        entries = [entry for entry in json.loads(path.read_text()) if "hex" in entry]
        self.version = self._version(entries)
        self.datagrams = [self._datagram(i, entry) for i, entry in enumerate(entries)]

    def sent_by(self, role):
        """What this side sent: (bytes, descriptors) one by one."""
        return [(data, fds) for sender, data, fds in self.datagrams if sender == role]

    def messages(self, role):
        return [wire.decode(data, self.version) for data, _fds in self.sent_by(role)]

    def first(self, message_class):
        """The first message of a class, or None."""
        both = self.messages("slave") + self.messages("master")
        return next((message for message in both if type(message) is message_class), None)

    def master_terms(self):
        """A master interface that this slave is meant for."""
        init = self.first(wire.Init)
        return master_terms(mode=init.mode, secret=wire.up_to_nul(init.secret))

    def slave_shell(self):
        """Our slave, with what the recorded slave wanted and offered."""
        sent = self.messages("slave")
        rings = [message for message in sent if type(message) is wire.AddRing]
        s2m = [(ring.region, ring.offset) for ring in rings if ring.s2m]
        m2s = [(ring.region, ring.offset) for ring in rings if not ring.s2m]
        regions = [message.size for message in sent if type(message) is wire.AddRegion]
        machine = handshake.SlaveHandshake(self._slave_terms(rings, len(s2m), len(m2s)))
        if not rings:
            return SlaveShell(machine)
        return SlaveShell(machine, regions, s2m=s2m, m2s=m2s)

    def _slave_terms(self, rings, num_s2m, num_m2s):
        init, connect = self.first(wire.Init), self.first(wire.Connect)
        return slave_terms(
            app_name=init.name,
            if_name=connect.if_name if connect else b"",
            interface_id=init.interface_id,
            mode=init.mode,
            secret=init.secret,
            num_s2m_rings=num_s2m or 1,
            num_m2s_rings=num_m2s or 1,
            log2_ring_size=rings[0].log2_ring_size if rings else 10,
        )

    @staticmethod
    def _version(entries):
        messages = (wire.decode(bytes.fromhex(e["hex"]), wire.VERSION_2) for e in entries)
        return next(message.version for message in messages if type(message) is wire.Init)

    @staticmethod
    def _datagram(number, entry):
        fds = [f"{fd['kind']} of message {number}" for fd in entry["fds"]]
        return entry["from"], bytes.fromhex(entry["hex"]), fds


def recordings():
    return [Recording(path) for path in sorted(CAPTURES.glob("*.json"))]
