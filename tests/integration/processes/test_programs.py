# SPDX-License-Identifier: Apache-2.0
"""Running programs of all three kinds show their interfaces, under load and after a kill."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import pytest
from support.access import wait_for_error
from support.builds import environment, run
from support.c_collector import build_directories
from support.packets import US, Pinger, responder_ip
from support.programs import TIMEOUT, Launcher, Program
from support.watching import interfaces, process, until

from libmemif_py import Interface, processes

OTHER = {"master": "slave", "slave": "master"}
PING_SIZE = 200

kinds = pytest.mark.parametrize("kind", ["1.0", "4.0", "Python"])
roles = pytest.mark.parametrize("role", ["master", "slave"])

ECHO = """
import sys
from libmemif_py import Interface
path, role = sys.argv[1:]
with Interface(path, role=role, name="echo") as memif:
    print("ready", flush=True)
    while True:
        memif.send_burst(memif.recv_burst(64), 60)
"""


@pytest.fixture
def launcher(tmp_path, pytestconfig) -> Launcher:
    return Launcher(tmp_path, build_directories(pytestconfig)[0].path)


@contextlib.contextmanager
def program_of(launcher: Launcher, kind: str, role: str) -> Iterator[Program]:
    """A program that answers. Killed at the end, if it still runs."""
    options = ["-m"] if role == "master" else []
    if kind == "1.0":
        program = launcher.example("icmp_responder3", "-i", 0, *options)
    elif kind == "4.0":
        program = launcher.program("icmp_responder4", "-s", launcher.socket, "-i", 0, *options)
    else:
        command = [sys.executable, "-P", "-c", ECHO, launcher.socket, role]
        program = Program(command, launcher.folder / "errors of echo")
    with program:
        yield program


def rings(kind: str) -> dict[str, int]:
    return {"s2m_rings": 2, "m2s_rings": 2} if kind == "1.0" else {}


def load(kind: str, interface: Interface, count: int) -> None:
    """Have the program receive and send so many packets on queue 0."""
    if kind == "Python":
        for _ in range(count):
            interface.send(bytes(PING_SIZE), TIMEOUT)
            interface.recv(TIMEOUT)
        return
    pinger = Pinger(interface, US, responder_ip(), timeout=TIMEOUT)
    for sequence in range(count):
        pinger.ping(sequence, PING_SIZE)


@kinds
@roles
@pytest.mark.parametrize("version", [256, 512])
def test_a_program_shows_its_interface_and_what_both_ends_count(launcher, kind, role, version):
    with (
        program_of(launcher, kind, role) as program,
        Interface(
            launcher.socket,
            role=OTHER[role],
            version=version,
            name="ours",
            app_name="test",
            **rings(kind),
        ) as ours,
    ):
        ours.wait_connected(TIMEOUT)
        load(kind, ours, 20)
        counters = ours.counters()
        sent, received = counters.tx[0].packets, counters.rx[0].packets
        shown = until(
            program.pid,
            lambda one: (
                one.connected
                and one.tx[0].packets == received
                # Its signal for the last answer woke us before it gave the request back.
                and one.rx[0].ring_fill == 0
            ),
        )
    assert (shown.api, shown.role, shown.version) == (kind, role, version)
    assert (shown.path, shown.id, shown.links, shown.last_error) == (launcher.socket, 0, 1, "")
    # A master tells the name of its program, a slave that of its interface's.
    app_name = "libmemif_py" if role == "slave" else "test"
    assert (shown.peer_name, shown.peer_app_name) == ("ours", app_name)
    assert (shown.peer_pid, shown.peer_uid) == (os.getpid(), os.getuid())
    assert sent >= 20
    assert (shown.rx[0].packets, shown.rx[0].bytes) == (sent, counters.tx[0].bytes)
    assert shown.tx[0].bytes == counters.rx[0].bytes
    assert shown.rx[0].ring_fill == shown.tx[0].ring_fill == 0
    assert shown.rx[0].ring_size > 0
    assert 0 < shown.since < TIMEOUT


@kinds
def test_counters_grow_while_packets_flow(launcher, kind):
    """None is ever smaller than before, and the last is the sum."""
    seen = []
    with (
        program_of(launcher, kind, "slave") as program,
        Interface(launcher.socket, role="master", **rings(kind)) as ours,
    ):
        ours.wait_connected(TIMEOUT)
        for _ in range(50):
            load(kind, ours, 10)
            seen += [one.rx[0].packets for one in interfaces(program.pid)]
        until(program.pid, lambda one: one.rx[0].packets == ours.counters().tx[0].packets)
    assert len(seen) == 50
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


@kinds
def test_a_program_that_was_killed_is_gone_and_the_next_begins_at_zero(launcher, kind):
    with Interface(launcher.socket, role="master", **rings(kind)) as ours:
        for links in range(1, 4):
            with program_of(launcher, kind, "slave") as program:
                ours.wait_connected(TIMEOUT)
                load(kind, ours, 5)
                shown = until(program.pid, lambda one: one.connected)
                assert (shown.links, shown.rx[0].packets < 10) == (1, True)
                program.send_signal(signal.SIGKILL)
                program.wait()
                assert processes([program.pid]) == []
            wait_for_error(ours, "peer closed")
            assert until(None, lambda one: not one.connected).links == links


@kinds
def test_a_slave_without_a_master_says_why(launcher, kind):
    with program_of(launcher, kind, "slave") as program:
        shown = until(program.pid, lambda one: one.last_error != "")
    assert (shown.state, shown.links, shown.since, shown.version) == ("waiting", 0, 0, 0)
    assert "No such file or directory" in shown.last_error
    assert (shown.rx, shown.tx, shown.peer_pid) == ((), (), 0)


@kinds
def test_nothing_is_shown_where_the_user_does_not_want_it(launcher, kind, monkeypatch):
    monkeypatch.setenv("LIBMEMIF_STATS", "0")
    with (
        program_of(launcher, kind, "slave") as program,
        Interface(launcher.socket, role="master", **rings(kind)) as ours,
    ):
        ours.wait_connected(TIMEOUT)
        load(kind, ours, 1)  # then it is connected too
        assert processes([program.pid]) == []
        assert "/memfd:libmemif-stats (deleted)" not in program.descriptors()
        assert not any("memif region" in name for name in program.descriptors()) or kind == "4.0"


def test_the_c_library_inside_a_python_program_has_a_segment_of_its_own(launcher, pytestconfig):
    script = """
import ctypes, os, sys
from libmemif_py import Interface, processes
lib = ctypes.CDLL(sys.argv[1])
assert lib.memif_init(None, b"inside") == 0
with Interface("/nowhere"):
    print([one.api for one in processes([os.getpid()])[0].interfaces])
    assert lib.memif_cleanup() == 0
    print([one.api for one in processes([os.getpid()])[0].interfaces])
print(processes([os.getpid()]))
"""
    library = build_directories(pytestconfig)[0].path / "libmemif_py" / "libmemif.so.0"
    output = run([sys.executable, "-P", "-c", script, library], env=environment()).stdout
    assert output.splitlines() == ["['Python']", "['Python']", "[]"]


def test_a_process_is_described(launcher):
    with program_of(launcher, "1.0", "slave") as program:
        until(program.pid, lambda one: one.last_error != "")
        shown = process(program.pid)
    assert (shown.name, shown.uid, shown.problem) == ("icmp_responder3", os.getuid(), "")
    assert shown.started > 0
