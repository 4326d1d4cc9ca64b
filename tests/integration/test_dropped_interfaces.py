# SPDX-License-Identifier: Apache-2.0
"""An interface that the program drops without closing it is closed, with a ResourceWarning."""

import asyncio
import gc
import os
import sys
import threading
import time
import warnings
import weakref

import pytest
from support import builds

from libmemif_py import AsyncInterface, Interface, errors
from libmemif_py.control import reactor

TIMEOUT = 60.0


@pytest.fixture(autouse=True)
def nothing_left_by_other_tests():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Owner:
    """Its callbacks refer to what owns the interface, as in most programs."""

    def __init__(self, path, **options) -> None:
        self.up = threading.Event()
        self.interface = Interface(path, on_connect=self.changed, **options)

    def changed(self, _interface: Interface) -> None:
        self.up.set()


@pytest.mark.parametrize("role", ["master", "slave"])
def test_it_warns_and_tells_the_peer(tmp_path, role):
    path, down = tmp_path / "socket", threading.Event()
    other = "slave" if role == "master" else "master"
    with Interface(path, role=other, on_disconnect=lambda *_: down.set()) as peer:
        dropped = Interface(path, role=role)
        peer.wait_connected(TIMEOUT)
        with pytest.warns(ResourceWarning, match=f"unclosed <Interface {role} .*socket' id=0"):
            del dropped
        assert down.wait(TIMEOUT)


def test_one_that_its_own_callbacks_refer_to_is_collected(tmp_path):
    path, down = tmp_path / "socket", threading.Event()
    with Interface(path, role="master", on_disconnect=lambda *_: down.set()) as peer:
        owner = Owner(path)
        peer.wait_connected(TIMEOUT)
        assert owner.up.wait(TIMEOUT)
        del owner
        end = time.monotonic() + TIMEOUT
        with pytest.warns(ResourceWarning, match="unclosed"):
            # The library's thread may still be on its way back from the callback.
            while not down.wait(0.01) and time.monotonic() < end:
                gc.collect()
        assert down.is_set()


def test_an_asynchronous_one_is_collected(tmp_path):
    async def drop() -> None:
        interface = AsyncInterface(str(tmp_path / "socket"), role="master")
        gone = weakref.ref(interface)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del interface
        assert gone() is None

    asyncio.run(drop())


def test_its_id_path_and_descriptors_are_free_for_the_next(tmp_path):
    """As in a notebook whose cell runs again."""
    path = tmp_path / "socket"
    with Interface(tmp_path / "other", role="master"):
        before = descriptors()
        for _ in range(20):
            master = Interface(path, role="master")
            with pytest.raises(errors.InterfaceIdError, match="close that one first"):
                Interface(path, role="master")
            with pytest.warns(ResourceWarning):
                del master
        Interface(path, role="master").close()
        assert descriptors() == before
    assert os.listdir(tmp_path) == []


def test_the_last_one_ends_the_thread(tmp_path):
    interface = Interface(tmp_path / "socket", role="master")
    thread = reactor._thread._thread
    with pytest.warns(ResourceWarning):
        del interface
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert os.listdir(tmp_path) == []


def test_one_that_cannot_be_ended_properly_disturbs_no_other(tmp_path, monkeypatch):
    def fail(*_):
        raise errors.AccessError("the program's own")

    with Interface(tmp_path / "socket", role="master") as master:
        dropped = Interface(tmp_path / "other", role="master")
        monkeypatch.setattr(dropped._observer, "end", fail)
        with pytest.warns(ResourceWarning):
            del dropped
        with Interface(tmp_path / "socket") as slave:
            slave.send(b"packet", TIMEOUT)
            assert master.recv(TIMEOUT) == b"packet"


def test_one_that_was_closed_or_never_made_does_not_warn(tmp_path):
    Interface(tmp_path / "socket", role="master").close()
    with pytest.raises(errors.NoFileError):
        Interface(tmp_path / "no" / "socket", role="master")
    with pytest.raises(errors.ArgumentError):
        Interface(tmp_path / "socket", ring_size=3)
    gc.collect()


COLLECTED_ANYWHERE = """
import gc, sys, threading
from libmemif_py import Interface

# Finalizers run inside every lock of the library, sooner or later.
gc.set_threshold(1)

def work(number):
    for turn in range(30):
        path = f"{sys.argv[1]}/{number}-{turn}"
        master = Interface(path, role="master")
        slave = Interface(path)
        slave.wait_connected(60)
        cycle = [master, slave]
        cycle.append(cycle)
        if turn % 2:
            master.close()
        del master, slave, cycle

threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
gc.collect()
Interface(sys.argv[1] + "/last", role="master").close()  # the others are closed before
import os
print(os.listdir(sys.argv[1]))
"""


def test_collection_at_any_moment_waits_for_nothing(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", COLLECTED_ANYWHERE, tmp_path]
    result = builds.run(command, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("[]\n", "")


AT_EXIT = """
import sys
from libmemif_py import Interface
path = sys.argv[1] + "/socket"
master, slave = Interface(path, role="master"), Interface(path)
slave.wait_connected(60)
"""


def test_one_that_lives_until_the_end_warns_as_a_socket_does(tmp_path):
    command = [sys.executable, "-X", "dev", "-c", AT_EXIT, tmp_path]
    result = builds.run(command, cwd=tmp_path)
    lines = [line for line in result.stderr.splitlines() if "ResourceWarning: " in line]
    assert len(lines) == 2
    assert all("unclosed <Interface" in line for line in lines)
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == []


def run_cell(code: str, namespace: dict) -> None:
    """As a notebook does: each cell is a file of its own, and all share their names."""
    exec(compile(code, "<cell>", "exec"), namespace)  # noqa: S102 - it is our own code


def test_a_cell_that_makes_a_master_again_is_told_where_the_first_was_made(tmp_path):
    """The new one is made before its name is free, so the id is still in use."""
    names = {"Interface": Interface, "path": str(tmp_path / "socket")}
    cell = "\nmemif = Interface(path, role='master')"
    run_cell(cell, names)
    with pytest.raises(errors.InterfaceIdError, match="made at <cell>:2: close that one first"):
        run_cell(cell, names)
    run_cell("memif.close()" + cell, names)
    names["memif"].close()


def test_a_cell_that_makes_a_slave_again_connects_again(tmp_path):
    path = str(tmp_path / "socket")
    names = {"Interface": Interface, "path": path, "TIMEOUT": TIMEOUT}
    cell = "memif = Interface(path)\nmemif.send(b'packet', TIMEOUT)"
    with Interface(path, role="master") as master:
        run_cell(cell, names)
        with pytest.warns(ResourceWarning, match="made at <cell>:1"):
            run_cell(cell, names)
        assert [master.recv(TIMEOUT) for _ in range(2)] == [b"packet"] * 2
        names["memif"].close()


def test_the_line_is_the_programs_not_the_librarys(tmp_path):
    async def make() -> None:
        async with AsyncInterface(str(tmp_path / "socket"), role="master"):
            with pytest.raises(errors.InterfaceIdError, match=f"made at {__file__}:"):
                AsyncInterface(str(tmp_path / "socket"), role="master")

    asyncio.run(make())
