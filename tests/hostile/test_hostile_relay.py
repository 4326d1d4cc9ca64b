# SPDX-License-Identifier: Apache-2.0
"""Whatever an end does to a relay, it alone is refused, and other pairs notice nothing."""

import contextlib
import os
import random
import resource
import socket
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from support import raw_peer as p
from support.attack import UntrustedUser, untrusted_user_of
from support.memif_command import Shell, interrupt
from support.programs import TIMEOUT, Program, wait_until_listening
from support.raw_peer import ClosedError, Control, Listening, Master, Slave, eventfd, memfd
from support.relays import Relayed

from libmemif_py import Interface

LIMIT = 128  # of pairs that are not joined
ROUNDS = 150


class Target(Relayed):
    """A relay with a good pair of ends, id 7, beside whatever else a test does."""

    def __init__(self, shell: Shell, stack: contextlib.ExitStack) -> None:
        super().__init__(shell)
        self.master = stack.enter_context(Interface(self.masters, role="master", id=7))
        self.slave = stack.enter_context(Interface(self.slaves, id=7))
        self.exchange()
        self.says("joined")
        self.before = self.settled(None)

    def exchange(self) -> None:
        for sender, receiver in ((self.slave, self.master), (self.master, self.slave)):
            sender.send(b"packet", TIMEOUT)
            assert receiver.recv(TIMEOUT) == b"packet"

    def settled(self, wanted: list[str] | None) -> list[str]:
        """Its descriptors, once they are those that are wanted, or two sockets for the pair."""
        end = time.monotonic() + TIMEOUT
        while True:
            held = []
            with contextlib.suppress(FileNotFoundError):  # one that was closed meanwhile
                held = [name.partition(":")[0] for name in self.program.descriptors()]
            if held == wanted or (wanted is None and held.count("socket") == 5):
                return held
            assert time.monotonic() < end, (held, wanted)

    def check(self) -> None:
        """Nothing is left of the others, and the good pair is still joined."""
        self.exchange()
        assert self.settled(self.before) == self.before
        assert "Traceback" not in self.program.errors


@pytest.fixture
def target(tmp_path) -> Iterator[Target]:
    with contextlib.ExitStack() as stack:
        target = Target(Shell(tmp_path, stack), stack)
        yield target
        target.check()
        interrupt(target.program)


# ---- slaves


def pipe(peer: Control) -> int:
    return [peer.keep(fd) for fd in os.pipe()][1]


# In which state, what a slave sends with which descriptors, and what it hears.
BAD = {
    "a short message": ("greeted", lambda s: s.send(b"short"), "message of 5 bytes, expected 128"),
    "a long one": ("greeted", lambda s: s.send(bytes(129)), "message of 129 bytes, expected 128"),
    "an unknown type": ("greeted", lambda s: s.send(p.message(9)), "message type 9"),
    "HELLO": ("greeted", lambda s: s.send(p.hello()), "HELLO is not allowed from the slave"),
    "a region at once": (
        "greeted",
        lambda s: s.send(p.add_region(0, 4096), [s.keep(memfd(4096))]),
        "ADD_REGION is not allowed from the slave in state GREETED",
    ),
    "a version of nobody": ("greeted", lambda s: s.send(p.init(300)), "protocol version 300"),
    "INIT with a descriptor": (
        "greeted", lambda s: s.send(p.init(), [s.keep(eventfd())]), "INIT with 1 fds, expected 0",
    ),
    "INIT twice": ("accepted", lambda s: s.send(p.init()), "INIT is not"),
    "a region without memory": (
        "accepted", lambda s: s.send(p.add_region(0, 4096)), "ADD_REGION came without its fd",
    ),
    "a region that is too short": (
        "accepted",
        lambda s: s.send(p.add_region(0, 8192), [s.keep(memfd(4096))]),
        "region of 8192 bytes announced, its file has 4096",
    ),
    "many descriptors": (
        "accepted",
        lambda s: s.send(p.add_region(0, 4096), [s.keep(memfd(4096))] * 200),
        "ADD_REGION with 200 fds, expected 1",
    ),
    "a ring with a pipe": (
        "region",
        lambda s: s.send(p.add_ring(512, p.S2M), [pipe(s)]),
        "the fd of a ring is no eventfd but pipe:",
    ),
    "a ring that is too large": (
        "region",
        lambda s: s.send(p.add_ring(512, p.S2M, log2=15), [s.keep(eventfd())]),
        "log2 ring size 15",
    ),
    "CONNECT without rings": ("region", lambda s: s.send(p.connect()), "CONNECT without any ring"),
    "a region twice": (
        "region",
        lambda s: s.send(p.add_region(0, 4096), [s.keep(memfd(4096))]),
        "region 0 was added before",
    ),
    "a ring when all is up": (
        "connected",
        lambda s: s.send(p.add_ring(512, p.S2M), [s.keep(eventfd())]),
        "ADD_RING is not allowed from the slave in state CONNECTED",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_slave_that_breaks_a_rule_hears_which_and_the_master_hears_of_it(target, what):
    state, attack, reason = BAD[what]
    with Interface(target.masters, role="master", id=0) as victim, Slave(target.slaves) as slave:
        attack(slave.to(state) and slave)
        heard = slave.ending()
        assert heard.startswith(reason)
        target.says(f"refused the slave: {heard}")
        if state != "greeted":
            wanted = f"disconnected by the peer: the relay refused the slave: {heard}"
            end = time.monotonic() + TIMEOUT
            while not wanted.startswith(victim.details().last_error or "none"):
                assert time.monotonic() < end, victim.details().last_error


def test_a_slave_that_leaves_at_any_moment_leaves_nothing_behind(target):
    with Interface(target.masters, role="master", id=0):
        for state in p.SLAVE_STATES:
            for _ in range(3):
                with Slave(target.slaves) as slave:
                    slave.to(state)
        for _ in range(64):
            Slave(target.slaves).close()


def test_a_crowd_ends_at_a_limit_and_a_good_slave_gets_in(target):
    with (
        contextlib.ExitStack() as stack,
        Interface(target.masters, role="master", id=0) as master,
    ):
        silent = [stack.enter_context(Slave(target.slaves)) for _ in range(LIMIT + 32)]
        with Interface(target.slaves, id=0) as good:
            good.send(b"packet", TIMEOUT)
            assert master.recv(TIMEOUT) == b"packet"
        for peer in silent[:32]:
            assert peer.ending() == "too many connections wait for their handshake"
        assert all(peer.to("greeted").is_open() for peer in silent[-LIMIT + 1 :])


def test_a_relay_without_descriptors_to_spare_goes_on_when_it_has_some_again(target):
    limit = resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE)
    few = len(target.before) + 5
    with Interface(target.masters, role="master", id=0) as master:
        with contextlib.ExitStack() as stack:
            resource.prlimit(target.program.pid, resource.RLIMIT_NOFILE, (few, limit[1]))
            for _ in range(8):
                stack.enter_context(Slave(target.slaves))
            target.says("Too many open files")
            target.exchange()
        with Interface(target.slaves, id=0) as good:
            good.send(b"packet", TIMEOUT)
            assert master.recv(TIMEOUT) == b"packet"


@pytest.fixture
def untrusted(target, tmp_path) -> Iterator[UntrustedUser]:
    """A slave of another user, whose descriptors hold up whoever closes them."""
    os.symlink("a.sock", tmp_path / "master")
    where = SimpleNamespace(folder=tmp_path, path=target.slaves)
    with (
        Interface(target.masters, role="master", id=0),
        untrusted_user_of(where, tmp_path / "untrusted.errors") as program,
    ):
        yield program


@pytest.mark.parametrize("state", ["unnamed", "named"])
def test_descriptors_of_an_untrusted_slave_hold_nobody_up(target, untrusted, state):
    for kind, fds in (("fuse", 1), ("fuse", 253), ("fuse-eio", 1), ("pipe", 1), ("memfd", 253)):
        untrusted.order("attack", state, kind, fds)
        target.exchange()


@pytest.mark.parametrize("state", ["unnamed", "named"])
def test_a_socket_that_lingers_for_an_hour_holds_nobody_up(target, untrusted, state):
    assert untrusted.order("begin", state) == "begun"
    with target.program.stopped():  # so that the last reference is in the message
        assert untrusted.order("fire", "lingering", 1) == "fired"
    target.says("with descriptors, expected none" if state == "unnamed" else "region can shrink")


# ---- masters


@pytest.fixture
def listening(tmp_path) -> Iterator[Listening]:
    """A master by hand, and no good one beside it: they would be on the same socket."""
    with Listening(str(tmp_path / "b.sock")) as listening:
        yield listening


@pytest.fixture
def alone(listening, tmp_path) -> Iterator[Relayed]:
    """A relay to it."""
    with contextlib.ExitStack() as stack:
        relayed = Relayed(Shell(tmp_path, stack))
        with listening.accept() as knocked:
            assert "the slave behind the relay" in knocked.ending()
        yield relayed
        assert "Traceback" not in relayed.program.errors
        interrupt(relayed.program)


BAD_MASTERS = {
    "a short message": ("silent", lambda m: m.send(b"short"), "message of 5 bytes, expected 128"),
    "ACK before HELLO": ("silent", lambda m: m.send(p.message(p.ACK)), "ACK is not allowed"),
    "HELLO with a descriptor": (
        "silent", lambda m: m.send(p.hello(), [m.keep(eventfd())]), "HELLO with 1 fds, expected 0",
    ),
    "HELLO twice": ("greeted", lambda m: m.send(p.hello()), "HELLO is not allowed from the master"),
    "CONNECTED at once": ("greeted", lambda m: m.send(p.connected()), "CONNECTED is not allowed"),
    "ACK to CONNECT": ("asked", lambda m: m.send(p.message(p.ACK)), "ACK is not allowed"),
    "INIT": ("connected", lambda m: m.send(p.init()), "INIT is not allowed from the master"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_MASTERS)
def test_a_master_that_breaks_a_rule_hears_which_and_the_slave_hears_of_it(alone, listening, what):
    state, attack, reason = BAD_MASTERS[what]
    with Slave(alone.slaves) as slave, listening.accept() as master:
        play(slave, master, state)
        attack(master)
        heard = master.ending()
        assert heard.startswith(reason)
        assert slave.ending() == f"the relay refused the master: {heard}"[:96]


def play(slave: Slave, master: Master, state: str) -> None:
    """Take both to a state, message by message."""
    if state == "silent":
        return
    master.send(p.hello())
    slave.expect(p.HELLO)
    slave.send(p.init())
    master.expect(p.INIT)
    if state == "greeted":
        return
    fd = slave.keep(memfd(slave.layout.size))
    rings = [p.add_ring(512, way, 0, 0, slave.layout.ring(way, 0)) for way in (p.S2M, p.M2S)]
    offers = [(p.add_region(0, slave.layout.size), fd)]
    offers += [(ring, slave.keep(eventfd())) for ring in rings]
    for data, fd in offers:
        master.send(p.message(p.ACK))
        slave.expect(p.ACK)
        slave.send(data, [fd])
        assert master.receive()[1] == data
    master.send(p.message(p.ACK))
    slave.expect(p.ACK)
    slave.send(p.connect())
    master.expect(p.CONNECT)
    if state == "connected":
        master.send(p.connected())
        slave.expect(p.CONNECTED)


def test_a_master_that_leaves_at_any_moment_is_told_of(alone, listening):
    for state in ("silent", "greeted", "asked", "connected"):
        with Slave(alone.slaves) as slave, listening.accept() as master:
            play(slave, master, state)
            master.close()
            assert slave.ending() == "the master behind the relay closed the connection"


# ---- anything


def noise(dice: random.Random, peer: Control) -> None:
    """A few messages, most of them of the right size."""
    with contextlib.suppress(OSError):
        for _ in range(dice.randint(1, 6)):
            size = dice.choice([0, 1, 127, 128, 128, 128, 128, 129])
            data = bytearray(dice.randbytes(size))
            if size > 1:
                data[:2] = dice.randint(0, 9).to_bytes(2, "little")
            fds = [peer.keep(eventfd()) for _ in range(dice.choice([0, 0, 0, 1, 2]))]
            socket.send_fds(peer.socket, [bytes(data)], fds)


@pytest.mark.parametrize("seed", range(3))
def test_noise_from_slaves_disturbs_nobody(target, seed):
    dice = random.Random(seed)  # noqa: S311
    with Interface(target.masters, role="master", id=0):
        for _ in range(ROUNDS):
            with Slave(target.slaves) as slave:
                with contextlib.suppress(ClosedError, AssertionError):
                    slave.to(dice.choice(p.SLAVE_STATES))
                noise(dice, slave)


def test_noise_from_masters_ends_the_connection_with_a_word(alone, listening):
    dice = random.Random(1)  # noqa: S311
    for _ in range(ROUNDS):
        with Slave(alone.slaves) as slave, listening.accept() as master:
            play(slave, master, dice.choice(["silent", "greeted", "asked", "connected"]))
            noise(dice, master)
            master.close()
            assert last_type(slave) == p.DISCONNECT


def last_type(peer: Control) -> int:
    """Of all that still comes; what noise the relay passes on is not looked at."""
    peer.socket.settimeout(TIMEOUT)
    kind = 0
    while data := peer.socket.recv(200):
        kind = int.from_bytes(data[:2], "little")
    return kind


SHORT_PATIENCE = """
import sys
from libmemif_py.tools import main, relay_pair
relay_pair.HANDSHAKE_TIMEOUT = 0.2
sys.exit(main.main())
"""


def test_ends_that_take_too_long_are_let_go(listening, tmp_path):
    words = ["relay", str(tmp_path / "a.sock"), listening.path]
    command = [sys.executable, "-P", "-c", SHORT_PATIENCE, *words]
    with Program(command, tmp_path / "errors") as program:
        wait_until_listening(words[1])
        listening.accept().close()
        with Slave(words[1]) as slave, listening.accept() as master:
            assert master.ending() == slave.ending() == "handshake timed out"
        with Slave(words[1]) as slave, listening.accept() as master:
            play(slave, master, "greeted")
            assert master.ending() == slave.ending() == "handshake timed out"
        interrupt(program)
