# SPDX-License-Identifier: Apache-2.0
"""The segment of a process: what it shows, who may write it, and when there is none."""

import contextlib
import fcntl
import mmap
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.builds import ROOT, environment, run
from support.children import in_child, outcome
from support.programs import TIMEOUT
from support.watching import interfaces, process, until

from libmemif_py import Interface, processes, procfs, segment

versions = pytest.mark.parametrize("version", [256, 512])
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can do that")


@contextlib.contextmanager
def pair(tmp_path, **settings) -> Iterator[tuple[Interface, Interface]]:
    path = str(tmp_path / "m.sock")
    with (
        Interface(path, role="master", name="master", **settings) as master,
        Interface(path, name="slave", **settings) as slave,
    ):
        slave.wait_connected(TIMEOUT)
        master.wait_connected(TIMEOUT)
        yield master, slave


def our_descriptor() -> int:
    (fd,) = procfs.descriptors(os.getpid(), f"/memfd:{segment.NAME} (deleted)")
    return fd


def shown_by(name: str):
    return next(one for one in interfaces() if one.name == name)


# ---- what it shows ----


@versions
@pytest.mark.parametrize("sizes", [[60], [60, 5000, 60], [9000] * 3])
def test_the_fill_of_rings_is_what_the_interface_itself_says(tmp_path, version, sizes):
    with pair(tmp_path, version=version, ring_size=64) as ends:
        for sender, receiver in (ends, ends[::-1]):
            for packet in map(bytes, sizes):
                sender.send(packet, TIMEOUT)
            for _ in sizes:
                seen = (
                    shown_by(sender.details().name).tx[0],
                    shown_by(receiver.details().name).rx[0],
                )
                assert seen[0].ring_fill == seen[1].ring_fill == receiver.rx_slots()
                assert seen[0].ring_size == seen[1].ring_size == 64
                assert receiver.rx_slots() > 0
                receiver.recv(TIMEOUT)
            assert shown_by(receiver.details().name).rx[0].ring_fill == 0


@versions
def test_counters_are_those_of_the_interface_over_all_links(tmp_path, version):
    path = str(tmp_path / "m.sock")
    with Interface(path, role="master", name="master", version=version, ring_size=8) as master:
        for _ in range(3):
            with Interface(path, version=version, ring_size=8, name="slave") as slave:
                for size in (60, 5000, 1):
                    slave.send(bytes(size), TIMEOUT)
                    master.recv(TIMEOUT)
                with contextlib.suppress(Exception):
                    master.send_burst([bytes(60)] * 50, 0)
                seen, ours = shown_by("slave"), slave.counters()
                assert seen.rx[0].packets == ours.rx[0].packets
                assert (seen.tx[0].packets, seen.tx[0].bytes) == (3, 5061)
            until(None, lambda one: not one.connected)
            seen, ours = shown_by("master"), master.counters()
            assert (seen.rx[0].packets, seen.rx[0].bytes) == (ours.rx[0].packets, ours.rx[0].bytes)
            assert seen.tx[0].packets == ours.tx[0].packets
            assert seen.tx[0].full == ours.tx[0].full > 0
            assert seen.tx[0].interrupts == ours.tx[0].interrupts
        assert (seen.links, seen.rx[0].packets, seen.rx[0].ring_fill) == (3, 9, None)


def test_every_queue_of_every_interface_is_shown(tmp_path):
    with contextlib.ExitStack() as stack:
        for i in range(40):
            settings = {"id": i, "s2m_rings": 4, "m2s_rings": 3, "ring_size": 16, "name": f"i{i}"}
            path = str(tmp_path / "m.sock")
            master = stack.enter_context(Interface(path, role="master", **settings))
            slave = stack.enter_context(Interface(path, **settings))
            slave.wait_connected(TIMEOUT)
            slave.send(bytes(i + 1), TIMEOUT, queue=3)
            assert len(master.recv(TIMEOUT, queue=3)) == i + 1
        shown = interfaces()
        assert len(shown) == 80
        for one in shown:
            queues = one.rx if one.role == "master" else one.tx
            assert (len(queues), queues[3].packets, queues[3].bytes) == (4, 1, one.id + 1)
            assert queues[0].packets == 0


def test_texts_of_a_peer_cannot_move_the_cursor_of_a_terminal(tmp_path):
    with (
        Interface(str(tmp_path / "m.sock"), role="master", name="a\x1b[2Jb") as master,
        Interface(str(tmp_path / "m.sock"), name="c\nd") as slave,
    ):
        slave.wait_connected(TIMEOUT)
        master.wait_connected(TIMEOUT)
        texts = {(one.name, one.peer_name) for one in interfaces()}
    assert texts == {("a\\x1b[2Jb", "c\\x0ad"), ("c\\x0ad", "a\\x1b[2Jb")}


def test_a_receiver_that_polls_is_shown_as_one(tmp_path):
    with pair(tmp_path) as (master, _):
        assert not shown_by("master").rx[0].polling
        master.set_rx_mode("polling")
        assert shown_by("master").rx[0].polling


# ---- who may write it ----


def test_nobody_can_write_or_resize_it(tmp_path):
    with pair(tmp_path):
        fd = os.open(f"/proc/self/fd/{our_descriptor()}", os.O_RDWR)
        try:
            for attack in (
                lambda: os.pwrite(fd, b"x", 0),
                lambda: mmap.mmap(fd, 4096),
                lambda: os.ftruncate(fd, 0),
                lambda: os.ftruncate(fd, 1 << 40),
                lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
            ):
                with pytest.raises(PermissionError):
                    attack()
        finally:
            os.close(fd)
        assert len(interfaces()) == 2


def test_a_forked_child_leaves_the_counters_of_its_parent_alone(tmp_path):
    with pair(tmp_path) as (master, slave):
        slave.send(bytes(60), TIMEOUT)

        def child() -> tuple:
            inherited = process()
            with Interface(str(tmp_path / "other.sock"), role="master", name="child"):
                own = [one.name for one in interfaces()]
            return inherited, own, process()

        assert in_child(child) == (None, ["child"], None)
        master.recv(TIMEOUT)
        slave.send(bytes(60), TIMEOUT)
        assert (shown_by("slave").tx[0].packets, shown_by("master").rx[0].packets) == (2, 1)
        assert master.recv(TIMEOUT) == bytes(60)


def test_a_child_that_is_forked_in_the_middle_of_a_burst_changes_nothing(tmp_path):
    with pair(tmp_path) as (master, slave):
        with slave.tx_burst(4, 60, timeout=TIMEOUT) as burst:
            assert in_child(lambda: outcome(lambda: burst.data)) == "ForkedError"
        assert len(master.recv_burst(4, timeout=TIMEOUT)) == 4
        assert shown_by("slave").tx[0].packets == shown_by("master").rx[0].packets == 4


# ---- when it comes and goes ----


def test_it_goes_with_the_last_interface_and_the_next_begins_at_zero(tmp_path):
    for _ in range(5):
        with pair(tmp_path) as (master, slave):
            slave.send(bytes(60), TIMEOUT)
            master.recv(TIMEOUT)
            assert shown_by("slave").tx[0].packets == 1
        assert process() is None
        assert list(procfs.descriptors(os.getpid(), f"/memfd:{segment.NAME} (deleted)")) == []
        with open("/proc/self/maps") as maps:
            assert segment.NAME not in maps.read()


def test_a_process_with_few_descriptors_left_keeps_none_for_rings(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(64)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1] + 40, hard))
        with pair(tmp_path) as (master, slave):
            slave.send(bytes(60), TIMEOUT)
            assert shown_by("slave").tx[0].ring_fill is None
            assert shown_by("slave").tx[0].packets == 1
            names = [
                os.readlink(f"/proc/self/fd/{fd}")
                for fd in os.listdir("/proc/self/fd")
                if os.path.lexists(f"/proc/self/fd/{fd}")
            ]
            assert not any("memif region" in name for name in names)
            assert master.recv(TIMEOUT) == bytes(60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


def test_without_the_calls_that_it_needs_the_library_works_without_it(tmp_path):
    """A file may not be as long as the segment."""
    script = """
import os, resource, sys
from libmemif_py import Interface, processes
limit = 16 << 20
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with Interface(sys.argv[1], role="master") as master, Interface(sys.argv[1]) as slave:
    slave.send(b"packet", 60)
    print(master.recv(60), processes([os.getpid()]))
"""
    command = [sys.executable, "-P", "-c", script, tmp_path / "m.sock"]
    assert run(command, env=environment()).stdout == "b'packet' []\n"


CONTAINERS = {
    "pid": ["--pid", "--fork"],
    "all": ["--pid", "--fork", "--mount-proc", "--net", "--ipc", "--uts", "--cgroup"],
    "all and users": ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--net"],
}


@as_root
@pytest.mark.parametrize("namespaces", CONTAINERS)
def test_a_process_in_a_container_is_shown(tmp_path, namespaces):
    """With its rings; it sees itself, and none of us."""
    script = """
import os, sys
from libmemif_py import Interface, processes
path = sys.argv[1]
with Interface(path, role="master", name="inside") as master, Interface(path) as slave:
    slave.send(bytes(60), 60)
    master.wait_connected(60)
    print(os.getpid(), len(processes()) if "all" in sys.argv[2] else 1, flush=True)
    sys.stdin.read()
"""
    inside = [sys.executable, "-P", "-c", script, tmp_path / "m", namespaces]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        pair(tmp_path),
        subprocess.Popen(
            ["unshare", *CONTAINERS[namespaces], *inside], env=environment(), **pipes
        ) as outer,
    ):
        number, seen = map(int, outer.stdout.readline().split())
        assert (number < 10, seen) == (True, 1)
        (shown,) = (
            one for found in processes() for one in found.interfaces if one.name == "inside"
        )
        assert (shown.path, shown.rx[0].ring_fill) == (str(tmp_path / "m"), 1)


@as_root
def test_another_user_sees_nothing_of_it(tmp_path):
    def child() -> list:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        return processes([parent])

    parent = os.getpid()
    with pair(tmp_path):
        assert process() is not None
        assert in_child(child) == []


# ---- the page ----

TABLES = {
    "Header": segment.HEADER,
    "Record": segment.RECORD,
    "Ring": segment.RING,
    "Block": segment.BLOCK,
}
FORMATS = {"uint8": "B", "uint16": "H", "uint32": "I", "int32": "i", "uint64": "Q"}


def described(title: str) -> dict[str, tuple[int, str]]:
    """The table of a structure in the reference, in the form that the reader has."""
    page = (ROOT / "docs" / "reference" / "segment.md").read_text()
    part = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| ([a-z0-9\[\]]+) \| `([a-z_]+)` \|", part, re.M)
    texts = re.compile(r"char\[(\d+)\]")
    return {
        name: (int(offset), FORMATS.get(kind) or f"{texts.fullmatch(kind)[1]}s")
        for offset, kind, name in rows
    }


@pytest.mark.parametrize("title", TABLES)
def test_the_reference_has_every_field(title):
    assert described(title) == TABLES[title]
