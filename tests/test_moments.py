# SPDX-License-Identifier: Apache-2.0
"""What ends or begins while the control plane has let go of its lock.

Each moment is made: another thread's part is played by what is called just then.
"""

import contextlib
import fcntl
import mmap
import os
import types

import pytest

from libmemif_py import abi1, abi4, control
from libmemif_py.endpoint import Settings
from libmemif_py.hub import LOCK, Hub
from libmemif_py.steps import Steps

SECOND = 1000  # in milliseconds
NULL = control.ffi.NULL


class Rig:
    """A hub that is polled by the test, for all its interfaces."""

    def __init__(self, path, external=None):
        self.path = bytes(path / "m.sock")
        self.pointer = control.lib.mif_native_hub_new()
        self.hub = Hub(control.native, self.pointer, b"rig", external=external)
        self._key = int(control.ffi.cast("uintptr_t", self.pointer))
        control._threads[self._key] = self  # whose `hub` is called

    def add(self, is_master, interface_id=0):
        observer = Observer()
        settings = Settings(path=self.path, is_master=is_master, interface_id=interface_id)
        endpoint = self.hub.add(settings, observer, NULL, NULL)
        return endpoint, observer

    def poll(self, until):
        for _ in range(20):
            if until():
                return
            assert control.lib.mif_hub_poll(self.pointer, SECOND) == 0
        pytest.fail("nothing comes of it")

    def close(self):
        with Steps() as steps:
            steps.take(self.hub.close)
            del control._threads[self._key]
            steps.take(control.lib.mif_hub_close, self.pointer)
            steps.take(control.lib.mif_hub_free, self.pointer)


class Observer:
    """Notes what it is told."""

    admits = None

    def __init__(self):
        self.told = []

    def connected(self, *_):
        self.told.append("up")

    def disconnected(self, *_):
        self.told.append("down")


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


@pytest.mark.parametrize("api", [abi1.Api1, abi4.Api4])
def test_details_are_read_under_the_control_lock(monkeypatch, api):
    """Beside it a link could end, and its memory with it."""
    held = {}

    def note(name, answer=None):
        def called(*_):
            held[name] = LOCK._lock._is_owned()
            return answer

        return called

    settings = types.SimpleNamespace(path=b"path")
    endpoint = types.SimpleNamespace(settings=settings, last_error="")
    for name in ("find", "describe", "_describe_regions", "describe_queues"):
        monkeypatch.setattr(api, name, note(name, endpoint), raising=False)
    room = control.ffi.new("char[100]")
    api(control.ffi, control.lib).details(None, types.SimpleNamespace(), room, 100)
    assert len(held) == (4 if api is abi4.Api4 else 3)
    assert all(held.values())


# ---- external memory ----


class Memory:
    """The application's. `then` is called during the callback of that name."""

    def __init__(self, during):
        self._during = during
        self.then = None
        self.asked, self.given, self.returned = [], [], []
        self._own, self._kept = [], []

    def provides(self):
        return True

    def maps(self):
        return True

    def _note(self, name):
        self.asked.append(name)
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
        self._kept.append(mmap.mmap(fd, size))
        address = control.ffi.cast("void *", control.ffi.from_buffer(self._kept[-1]))
        self.given.append((address, size, fd))
        return address

    def offsets(self, _count, _context):
        self._note("offsets")

    def delete(self, address, size, fd, _context):
        os.fstat(fd)  # still open
        self.returned.append((address, size, fd))
        self._kept[self.given.index(self.returned[-1])].close()
        if fd in self._own:
            os.close(fd)


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


def test_the_hub_counts_as_used_while_the_application_provides_memory(tmp_path):
    memory = Memory("add")
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
