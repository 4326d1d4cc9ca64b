# SPDX-License-Identifier: Apache-2.0
"""Memory of the program's own in place of ours, and links that end while it is asked for some."""

import contextlib
import fcntl
import mmap
import os
import socket
import threading

import pytest
from support.children import fork
from support.rig import rig_and_peer, rig_in

from libmemif_py.control import reactor, wire
from libmemif_py.control.lock import LOCK


class Memory:
    """The application's. `then` is called during the callback of that name."""

    def __init__(self, during=None):
        self._during = during
        self.then = None
        self.asked, self.given, self.returned = [], [], []
        self.held = {}
        """Whether each callback was called with the control lock held."""
        self._own, self._kept = [], {}

    def provides(self):
        return True

    def maps(self):
        return True

    def _note(self, name):
        self.asked.append(name)
        self.held[name] = LOCK.is_own()
        if name == self._during:
            self.then()

    def add(self, size, _context):
        fd = os.memfd_create("buffers", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._own.append(fd)
        self._note("add")
        return self._map(size, fd), fd

    def map(self, size, fd, _context):
        self._note("map")
        return self._map(size, fd)

    def _map(self, size, fd):
        memory = mmap.mmap(fd, size)
        address = reactor.ffi.cast("void *", reactor.ffi.from_buffer(memory))
        self.given.append((address, size, fd))
        self._kept[self.given[-1]] = memory
        return address

    def offsets(self, _count, _context):
        self._note("offsets")

    def delete(self, address, size, fd, _context):
        os.fstat(fd)  # still open
        self.held["delete"] = LOCK.is_own()
        self.returned.append((address, size, fd))
        self._kept.pop(self.returned[-1]).close()
        if fd in self._own:
            os.close(fd)


def up(*endpoints):
    return lambda: all(endpoint.connected for endpoint in endpoints)


@pytest.mark.parametrize("during", ["add", "offsets"])
def test_a_slave_that_ends_while_it_is_given_memory_gives_it_back(tmp_path, during):
    memory = Memory(during)
    with rig_in(tmp_path, memory) as rig:
        rig.add(is_master=True)
        slave, observer = rig.add(is_master=False)
        memory.then = lambda: rig.hub.remove(slave)
        rig.poll(lambda: memory.returned and not rig.hub._links)
    assert memory.returned == memory.given
    assert memory.asked == ["add", "offsets"][: 1 + (during == "offsets")]
    assert observer.told == []


def test_a_master_that_ends_while_memory_is_mapped_gives_it_back(tmp_path):
    memory = Memory("map")
    with rig_in(tmp_path, memory) as rig:
        master, observer = rig.add(is_master=True)
        rig.add(is_master=False)
        memory.then = lambda: rig.hub.remove(master)
        rig.poll(lambda: len(memory.returned) == 2 and not rig.hub._links)
    assert sorted(memory.returned, key=str) == sorted(memory.given, key=str)
    assert observer.told == []


@pytest.mark.parametrize("during", ["add", "offsets", "map"])
def test_the_hub_counts_as_used_while_the_application_provides_memory(tmp_path, during):
    memory = Memory(during)
    used = []
    with rig_in(tmp_path, memory) as rig:
        master, _ = rig.add(is_master=True)
        slave, _ = rig.add(is_master=False)

        def end():
            rig.hub.remove(slave)
            rig.hub.remove(master)
            used.append(rig.hub.in_use())

        memory.then = end
        rig.poll(lambda: memory.returned)
        assert used == [True]
        assert not rig.hub.in_use()


def test_the_application_is_asked_without_the_control_lock(tmp_path):
    """It may wait for another thread that is inside the library."""
    memory = Memory()
    with rig_in(tmp_path, memory) as rig:
        master, _ = rig.add(is_master=True)
        slave, _ = rig.add(is_master=False)
        rig.poll(up(master, slave))
    assert memory.held == dict.fromkeys(("add", "offsets", "map", "delete"), False)


@pytest.mark.parametrize("during", ["add", "offsets", "map"])
def test_a_link_that_ends_while_the_application_is_asked_is_not_in_the_way_of_the_next(
    tmp_path, during
):
    memory = Memory(during)
    with rig_in(tmp_path, memory) as rig:
        rig.hub.retry_interval = 0.01
        master, _ = rig.add(is_master=True)
        slave, _ = rig.add(is_master=False)

        def end():
            memory.then = lambda: None
            with LOCK:
                (master if during == "map" else slave).link.disconnect("no more")

        memory.then = end
        rig.poll(up(master, slave))
        assert memory.asked.count("add") == 2
        assert len(memory.given) - len(memory.returned) == 2


def test_a_link_that_ended_while_the_application_was_asked_adds_no_queue_to_the_next(tmp_path):
    """Another thread may be at the next link by then, which has memory at the same handle."""
    memory = Memory("offsets")
    hello = wire.encode(wire.Hello(b"", 512, 512, 255, 255, 255, 14), wire.VERSION_2)
    begun, ended = threading.Event(), threading.Event()
    with (
        rig_in(tmp_path, memory) as rig,
        contextlib.ExitStack() as stack,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as master,
    ):
        master.bind(rig.path)
        master.listen()
        slave, _ = rig.add(is_master=False)

        def welcome():
            stack.enter_context(master.accept()[0]).send(hello)

        def serve_next():
            rig.hub.on_event(slave.link.channel.fileno(), 0)

        def wait():
            memory.then = lambda: None
            begun.set()
            ended.wait(60)

        def end():
            memory.then = wait
            with LOCK:
                slave.link.disconnect("no more")
            rig.hub.request(slave)
            welcome()
            thread.start()
            assert begun.wait(60)

        thread = threading.Thread(target=serve_next)
        memory.then = end
        rig.poll(lambda: slave.link)
        welcome()
        rig.poll(lambda: memory.asked)
        ended.set()
        thread.join()
        assert slave.link is not None
        assert memory.asked == ["add", "offsets", "add", "offsets", "offsets"]


def test_a_slave_asks_for_no_memory_that_is_longer_than_its_callbacks_count(tmp_path):
    memory = Memory()
    with rig_in(tmp_path, memory) as rig:
        rig.add(is_master=True)
        large = {"log2_ring_size": 14, "buffer_size": 65535, "num_s2m_rings": 4}
        slave, _ = rig.add(is_master=False, **large)
        rig.poll(lambda: slave.last_error)
        assert slave.last_error.endswith("expected less than 4 GiB")
        assert memory.asked == []


def test_a_region_that_the_peer_can_take_away_is_not_mapped_by_the_application(tmp_path):
    memory = Memory()
    with rig_and_peer(tmp_path, memory) as (rig, peer):
        rig.add(is_master=True, unsealed="never")
        peer.connect(rig.path)
        fd = os.memfd_create("region", 0)
        os.ftruncate(fd, mmap.PAGESIZE)
        peer.send(wire.encode(wire.Init(wire.VERSION_2, 0, 0, b"", b"peer"), wire.VERSION_2))
        region = wire.encode(wire.AddRegion(1, mmap.PAGESIZE), wire.VERSION_2)
        socket.send_fds(peer, [region], [fd])
        os.close(fd)
        rig.poll(lambda: rig.hub._links)
        rig.poll(lambda: not rig.hub._links)
        assert memory.asked == []


def test_a_child_that_returns_from_a_callback_closes_no_region_once_more(tmp_path):
    """The number may be another's by then."""
    memory = Memory("add")
    children, taken = [], []

    def end():
        children.append(fork())
        if not children[0]:
            taken.extend(os.dup(0) for _ in range(64))

    memory.then = end
    with rig_in(tmp_path, memory) as rig:
        master, _ = rig.add(is_master=True)
        slave, _ = rig.add(is_master=False)
        status = 1
        try:
            rig.poll(lambda: memory.asked)
            status = 0 if all(os.path.lexists(f"/proc/self/fd/{fd}") for fd in taken) else 2
        finally:
            if children == [0]:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
        rig.poll(up(master, slave))
