# SPDX-License-Identifier: Apache-2.0
"""Peers that stop in the middle of a handshake, to be killed: `stopping_peers.py SOCKET VERSION`.

A line of stdin is "slave ID STEPS", or "master" and how many steps each of its connections takes,
in the order of the interfaces' ids. It makes a child that goes so far and tells "stopped PID". A
step is a message, sent or received; whoever has no more steps to go keeps what he has. When the
child was killed its end is told: "gone PID".
"""

import mmap
import os
import select
import signal
import struct
import sys
from types import SimpleNamespace

from libmemif_py.control import actions, channel, handshake, reactor, regions, sockets

COOKIES = {256: 0x3E31F10, 512: 0x3E31F20}
path, version = sys.argv[1].encode(), int(sys.argv[2])
TERMS = {
    "app_name": b"stopping",
    "if_name": b"stopping",
    "mode": 0,
    "secret": b"",
    "num_s2m_rings": 1,
    "num_m2s_rings": 1,
    "log2_ring_size": 4,
    "min_version": version,
    "max_version": version,
}


class StoppedError(Exception):
    """No more steps to go."""


class Peer:
    """One connection of a stopping peer."""

    def __init__(self, machine, connection: channel.Channel, steps: int):
        self.machine = machine
        self.channel = connection
        self.steps = steps

    def step(self) -> None:
        if self.steps == 0:
            raise StoppedError
        self.steps -= 1

    def perform(self, answers: list) -> None:
        for action in answers:
            if isinstance(action, actions.Send):
                self.step()
                self.channel.send(action.data, action.fd)
            elif isinstance(action, actions.Prepare):
                self.perform(self.offer(action))
            elif isinstance(action, actions.Establish):
                self.perform(self.machine.accept())
            elif isinstance(action, actions.Closed):
                raise StoppedError

    def offer(self, wanted: actions.Prepare) -> list:
        layout = regions.Layout(version, 1, 1, wanted.log2_ring_size, 2048)
        fds = [regions.create(size, "memif region of a stopping peer") for size in layout.sizes]
        with mmap.mmap(fds[0], layout.sizes[0]) as memory:
            for place in (*layout.s2m, *layout.m2s):
                struct.pack_into("<I", memory, place.offset, COOKIES[version])
        s2m, m2s = (
            [(place.region, place.offset, os.eventfd(0)) for place in places]
            for places in (layout.s2m, layout.m2s)
        )
        return self.machine.offer(list(zip(layout.sizes, fds, strict=True)), s2m, m2s)

    def on_ready(self) -> None:
        self.step()
        data, fds = self.channel.receive()
        if not data:
            raise StoppedError
        self.perform(self.machine.receive(data, fds))


def run(peers: list[Peer]) -> None:
    """Until nobody has a step to go."""
    moving = {peer.channel.fileno(): peer for peer in peers if peer.steps > 0}
    poll = select.poll()
    for fd in moving:
        poll.register(fd, select.POLLIN)
    while moving:
        for fd, _ in poll.poll():
            try:
                moving[fd].on_ready()
                if moving[fd].steps > 0 and moving[fd].machine.state != handshake.CONNECTED:
                    continue
            except (StoppedError, OSError):
                pass
            poll.unregister(fd)
            del moving[fd]


def be_slave(interface_id: int, steps: int) -> list[Peer]:
    terms = SimpleNamespace(**TERMS, interface_id=interface_id)
    peer = Peer(handshake.SlaveHandshake(terms), channel.connect(path, reactor.lib), steps)
    run([peer])
    return [peer]


def be_master(steps: list[int]) -> list[Peer]:
    """Whoever comes first takes the first number."""
    listening = sockets.ListeningSocket(path, reactor.lib)
    peers = []
    for number in steps:
        select.select([listening], [], [])
        machine = handshake.MasterHandshake(b"stopping", lambda _id: SimpleNamespace(**TERMS))
        peers.append(Peer(machine, listening.accept(), number))
        try:
            peers[-1].perform(machine.start())
        except StoppedError:
            continue
    run(peers)
    return [listening, *peers]


def main() -> None:
    for line in sys.stdin:
        role, *numbers = line.split()
        child = os.fork()
        if child == 0:
            kept = (
                be_slave(*map(int, numbers))
                if role == "slave"
                else be_master([int(n) for n in numbers])
            )
            print("stopped", os.getpid(), flush=True)
            signal.pause()
            del kept
            os._exit(1)
        os.waitpid(child, 0)
        print("gone", child, flush=True)


main()
