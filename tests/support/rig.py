# SPDX-License-Identifier: Apache-2.0
"""A hub without a thread of its own: a test polls it, and sees every moment."""

import contextlib
import os
import socket

import pytest

from libmemif_py.control import reactor
from libmemif_py.control.endpoint import Settings
from libmemif_py.control.hub import Hub
from libmemif_py.control.steps import Steps

SECOND = 1000  # in milliseconds
NULL = reactor.ffi.NULL


class Rig:
    """A hub that is polled by the test, for all its interfaces."""

    def __init__(self, path, external=None):
        self.path = bytes(path / "m.sock")
        self.pointer = reactor.lib.mif_native_poller_new()
        self.hub = Hub(reactor.native, self.pointer, b"rig", external=external)
        self._key = int(reactor.ffi.cast("uintptr_t", self.pointer))
        reactor._threads[self._key] = self  # whose `hub` is called

    def add(self, is_master, interface_id=0, **more):
        observer = Observer()
        settings = Settings(path=self.path, is_master=is_master, interface_id=interface_id, **more)
        endpoint = self.hub.add(settings, observer, NULL, NULL)
        return endpoint, observer

    def welcome(self, peer):
        """A new master, and the link to a peer that connects."""
        self.add(True)
        peer.connect(self.path)
        self.poll(lambda: self.hub._links)
        return self.hub._links[0]

    def poll(self, until):
        for _ in range(60):
            if until():
                return
            assert reactor.lib.mif_poller_poll(self.pointer, SECOND) == 0
        pytest.fail("nothing comes of it")

    def abandon(self, at_rest):
        """In a forked child."""
        self.hub.abandon(at_rest)
        reactor.lib.mif_poller_abandon(self.pointer)

    def close(self):
        with Steps() as steps:
            if not self.hub.closed:
                steps.take(self.hub.close)
            del reactor._threads[self._key]
            steps.take(reactor.lib.mif_poller_close, self.pointer)
            steps.take(reactor.lib.mif_poller_free, self.pointer)


class Observer:
    """Notes what it is told."""

    admits = None

    def __init__(self):
        self.told = []

    def connected(self, *_):
        self.told.append("up")

    def disconnected(self, *_):
        self.told.append("down")

    def abandoned(self):
        self.told.append("abandoned")


@contextlib.contextmanager
def rig_in(path, external=None):
    """With its descriptors closed, all of them, at the end."""
    before = sorted(os.listdir("/proc/self/fd"))
    rig = Rig(path, external)
    try:
        yield rig
    finally:
        rig.close()
    assert sorted(os.listdir("/proc/self/fd")) == before


@contextlib.contextmanager
def rig_and_peer(path, external=None):
    """With a socket that may connect to it."""
    with (
        rig_in(path, external) as rig,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer,
    ):
        yield rig, peer
