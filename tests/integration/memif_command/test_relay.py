# SPDX-License-Identifier: Apache-2.0
"""`memif relay` joins a slave and a master, and no packet comes near it."""

import contextlib
import itertools
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from support.builds import ROOT
from support.c_collector import build_directories
from support.control_traces import entries_of
from support.memif_command import interrupt
from support.programs import TIMEOUT, wait_until_listening
from support.relays import Relayed, RelayedPairs, times_it_slept

from libmemif_py import Interface, Timeout
from libmemif_py.control import wire
from libmemif_py.tools import info, relay, relay_pair
from libmemif_py.tools.formats.control_trace import MASTER, RECEIVED, SENT, SLAVE

LANGUAGES = ("v1", "v4", "python")
PAIRS = list(itertools.product(LANGUAGES, LANGUAGES))
PACKETS = 5_000


@pytest.fixture
def relayed(shell) -> Relayed:
    return Relayed(shell)


def exchange(one: Interface, other: Interface) -> None:
    for sender, receiver in ((one, other), (other, one)):
        sender.send(b"packet", TIMEOUT)
        assert receiver.recv(TIMEOUT) == b"packet"


@contextlib.contextmanager
def linked(relayed: Relayed, **settings):
    """A slave and a master of ours, in that order."""
    with (
        Interface(relayed.masters, role="master", **settings) as master,
        Interface(relayed.slaves, **settings) as slave,
    ):
        exchange(slave, master)
        yield slave, master


def last_error(interface: Interface, text: str) -> str:
    """What `last_error` is, once it contains this."""
    for _ in range(int(TIMEOUT / 0.01)):
        if text in (found := interface.details().last_error):
            return found
        with contextlib.suppress(Timeout):
            interface.wait_connected(0.01)
    raise AssertionError(f"{interface.details().last_error!r}, expected {text!r}")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "{}_master-{}_slave".format(*pair))
@pytest.mark.parametrize("version", [256, 512])
def test_programs_of_all_faces_exchange_packets(relayed, shell, pytestconfig, pair, version):
    build = build_directories(pytestconfig)[0].path
    folder = shell.folder / "traffic"
    folder.mkdir()
    pairs = RelayedPairs(relayed, folder, build)
    pairs.exchange(pair, PACKETS, "-S", "jumbo", rings=(2, 3), version=version)
    relayed.says(f": id 0, protocol {version}, 2+3 rings")
    relayed.says("disconnected: ")
    interrupt(relayed.program)


def test_a_relay_sleeps_while_a_million_packets_pass(relayed):
    """And it holds neither the memory nor the eventfds that it passed on."""
    frames = [bytes([number]) * 64 for number in range(250)]
    with linked(relayed) as (slave, master):
        relayed.says("joined")
        before = times_it_slept(relayed.program)
        for _ in range(2_000):
            for sender, receiver in ((slave, master), (master, slave)):
                assert sender.send_burst(frames, TIMEOUT) == len(frames)
                received = 0
                while received < len(frames):
                    received += len(receiver.recv_burst(len(frames), TIMEOUT))
        assert times_it_slept(relayed.program) == before
        counted = [interface.counters() for interface in (slave, master)]
        assert all(sum(queue.packets for queue in c.rx) >= 500_000 for c in counted)
        held = " ".join(relayed.program.descriptors())
        assert "memfd" not in held
        assert "[eventfd]" not in held
    interrupt(relayed.program)


@pytest.mark.parametrize("words", [
    ("b.sock,role=slave", "a.sock"), ("b.sock", "a.sock,role=master"),
    ("a.sock,role=master", "b.sock,role=slave"), ("-S", "a.sock", "b.sock"),
], ids=" ".join)  # fmt: skip
def test_either_side_may_be_the_one_that_listens(shell, words):
    with contextlib.chdir(shell.folder):
        shell.start("relay", *words)
        wait_until_listening("a.sock")
        with Interface("b.sock", role="master") as master, Interface("a.sock") as slave:
            exchange(slave, master)


def test_a_relay_gives_each_slave_a_connection_of_its_own(relayed):
    count = 12
    left = [threading.Event() for _ in range(count)]

    def note_end(interface: Interface, _reason: str) -> None:
        left[interface.details().id].set()

    with contextlib.ExitStack() as stack:
        slaves = [stack.enter_context(Interface(relayed.slaves, id=n)) for n in range(count)]
        masters = [
            stack.enter_context(
                Interface(relayed.masters, role="master", id=n, on_disconnect=note_end)
            )
            for n in range(count)
        ]
        for number, slave in enumerate(slaves):
            slave.send(b"number %d" % number, TIMEOUT)
        for number, master in enumerate(masters):
            assert master.recv(TIMEOUT) == b"number %d" % number
        relayed.says("joined", count)
        slaves[3].close()
        relayed.says("the slave disconnected: interface deleted")
        for slave, master in zip(slaves[4:], masters[4:], strict=True):
            exchange(slave, master)
        assert left[3].wait(TIMEOUT)
        assert [n for n in range(count) if left[n].is_set()] == [3]


def test_an_id_may_be_another_at_each_side(shell):
    a, b = (str(shell.folder / name) for name in ("a.sock", "b.sock"))
    program = shell.start("relay", f"{a},id=1", f"{b},id=7")
    wait_until_listening(a)
    with (
        Interface(b, role="master", id=7) as master,
        Interface(a, id=1) as slave,
        Interface(a, id=7) as other,
    ):
        exchange(slave, master)
        assert last_error(other, "no interface") == (
            "disconnected by the peer: no interface with id 7"
        )
    _, said = interrupt(program)
    assert ": id 1 as 7, protocol 512, 1+1 rings" in said
    assert "refused the slave: no interface with id 7" in said


def test_the_file_of_the_side_that_listens_has_the_mode_of_its_word(shell):
    shell.start("relay", f"{shell.socket},socket-mode=606", "nobody.sock")
    wait_until_listening(shell.socket)
    assert stat.S_IMODE(os.stat(shell.socket).st_mode) == 0o606


def test_a_relay_says_who_is_joined(relayed):
    names = {"app_name": "my\x1bslave", "name": "s0"}
    with (
        Interface(relayed.masters, role="master", name="m0") as master,
        Interface(relayed.slaves, **names) as slave,
    ):
        exchange(slave, master)
        pid = os.getpid()
        relayed.says(
            f"pair 1: slave my\\x1bslave s0 (pid {pid}), master libmemif_py m0 (pid {pid})\n"
            "pair 1: joined: id 0, protocol 512, 1+1 rings\n"
        )


def test_each_side_hears_why_the_other_has_disconnected(relayed):
    for end in (0, 1):
        with linked(relayed) as ends:
            ends[end].close()
            last_error(ends[1 - end], "disconnected by the peer: interface deleted")
    relayed.says("pair 1: the slave disconnected: interface deleted")
    relayed.says("pair 2: the master disconnected: interface deleted")


CHILD = """
import sys
from libmemif_py import Interface
with Interface(sys.argv[1], role=sys.argv[2]) as ours:
    ours.wait_connected(60)
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("role", ["slave", "master"])
def test_when_an_end_is_killed_the_other_hears_so_and_may_be_joined_again(relayed, role):
    paths = {"slave": relayed.slaves, "master": relayed.masters}
    other = "master" if role == "slave" else "slave"
    with Interface(paths[other], role=other, retry_interval=0.05) as ours:
        for round_ in (1, 2):
            command = [sys.executable, "-P", "-c", CHILD, paths[role], role]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            with child:
                assert child.stdout.readline() == b"up\n"
                ours.wait_connected(TIMEOUT)
                child.kill()
            wanted = f"the {role} behind the relay closed the connection"
            if other == "master":  # a slave tries again at once, and has another reason soon
                assert wanted in last_error(ours, "behind the relay")
            relayed.says(f"the {role} closed the connection", round_)


def test_both_ends_hear_when_the_relay_stops_and_meet_again_through_the_next(relayed):
    ends = threading.Semaphore(0)
    reasons = []

    def over(_interface, reason):
        reasons.append(reason)
        ends.release()

    with (
        Interface(relayed.masters, role="master", on_disconnect=over) as master,
        Interface(relayed.slaves, retry_interval=0.05, on_disconnect=over) as slave,
    ):
        for number, heard in (
            (signal.SIGTERM, "disconnected by the peer: relay stopped"),
            (signal.SIGINT, "disconnected by the peer: relay stopped"),
            (signal.SIGKILL, "peer closed the connection"),
        ):
            exchange(slave, master)
            reasons.clear()
            relayed.program.send_signal(number)
            status = relayed.program.wait()
            assert status == (-number if number == signal.SIGKILL else 128 + number)
            assert all(ends.acquire(timeout=TIMEOUT) for _ in range(2))
            assert reasons == [heard] * 2
            assert "Traceback" not in relayed.program.errors
            relayed.start()
        exchange(slave, master)


def test_a_secret_is_for_the_two_ends_alone(shell):
    trace, secret = shell.folder / "control.pcapng", b"hush hush hush"
    relayed = Relayed(shell, "--control-trace", trace)
    with (
        Interface(relayed.masters, role="master", secret=secret) as master,
        Interface(relayed.slaves, secret=b"other") as wrong,
    ):
        last_error(wrong, "disconnected by the peer: incorrect secret")
        wrong.close()
        with Interface(relayed.slaves, secret=secret) as slave:
            exchange(slave, master)
    relayed.says("the master disconnected: incorrect secret")
    relayed.says("joined")
    relayed.says("the slave disconnected")
    interrupt(relayed.program)
    for word in (secret, b"other"):
        assert word not in trace.read_bytes() + relayed.program.errors.encode()


def test_a_trace_has_each_message_of_both_connections(shell):
    trace = shell.folder / "control.pcapng"
    relayed = Relayed(shell, "--control-trace", trace)
    with linked(relayed) as (slave, _):
        slave.close()
        relayed.says("disconnected")
    interrupt(relayed.program)
    halves = {}
    for entry in entries_of(trace):
        halves.setdefault(entry.connection, []).append(entry)
    of_master, of_slave = [half for half in halves.values() if len(half) > 4]
    assert [e.message for e in of_slave if e.message] == [e.message for e in of_master if e.message]
    assert [e.fds for e in of_slave] == [e.fds for e in of_master]
    labels = [wire.decode(e.message, e.version or 512).label for e in of_slave if e.message]
    assert labels[:3] == ["HELLO", "INIT", "ACK"]
    assert labels[-3:] == ["CONNECT", "CONNECTED", "DISCONNECT"]
    assert {(e.direction, e.sender) for e in of_slave} == {(SENT, MASTER), (RECEIVED, SLAVE)}
    assert {(e.direction, e.sender) for e in of_master} == {(RECEIVED, MASTER), (SENT, SLAVE)}


def test_a_slave_is_kept_until_a_master_comes(relayed):
    with Interface(relayed.slaves) as slave:
        relayed.says(f"a slave waits for {relayed.masters}: connect: No such file")
        with Interface(relayed.masters, role="master") as master:
            exchange(slave, master)
    interrupt(relayed.program)


def test_a_slave_that_is_not_kept_hears_why(shell):
    relayed = Relayed(shell, "--wait", 0)
    with Interface(relayed.slaves, retry_interval=0.05) as slave:
        last_error(slave, "disconnected by the peer: nobody listens behind the relay")
        with Interface(relayed.masters, role="master") as master:
            exchange(slave, master)
    _, said = interrupt(relayed.program)
    assert said.count(f"{relayed.masters}: connect: No such file") == 1


def test_a_relay_that_leads_to_itself_says_so(shell):
    (shell.folder / "folder").mkdir()
    a, b = shell.socket, str(shell.folder / "folder" / ".." / "m.sock")
    program = shell.start("relay", a, b)
    wait_until_listening(a)
    with Interface(a) as slave:
        last_error(slave, "disconnected by the peer: the relay leads to itself")
    _, said = interrupt(program)
    assert f"{b} is the relay's own socket" in said


def test_a_slave_that_only_looks_is_not_told_of(relayed, shell):
    with Interface(relayed.masters, role="master"):
        assert "libmemif_py" in shell.run("info", relayed.slaves).stdout
        with linked_slave(relayed):
            relayed.says("joined")
    _, said = interrupt(relayed.program)
    lines = [line for line in said.splitlines() if "waits for" not in line]
    assert [line.split(":")[0] for line in lines[1:]] == ["pair 1"] * 3


def test_who_looks_hears_that_nobody_listens_behind_the_relay(shell):
    relayed = Relayed(shell, "--wait", 0)
    result = shell.run("info", relayed.slaves, status=1)
    said = f"memif: {relayed.slaves}: refused: nobody listens behind the relay\n"
    assert result.stderr == said
    waits = [
        next(option.default for option in command.params if option.name == "timeout")
        for command in (info.command, relay.command)
    ]
    assert waits[0] > waits[1]


@contextlib.contextmanager
def linked_slave(relayed: Relayed):
    with Interface(relayed.slaves) as slave:
        slave.wait_connected(TIMEOUT)
        yield slave


def test_the_page_has_the_numbers_of_the_command():
    text = " ".join((ROOT / "docs" / "howto" / "relay.md").read_text().split())
    assert f"Both ends have {relay_pair.HANDSHAKE_TIMEOUT:g} seconds, in all" in text
    assert f"At most {relay.MOST_WAITING} pairs" in text
    (wait,) = (option for option in relay.command.params if option.name == "timeout")
    assert f"for `--wait` seconds, {wait.default} without the option" in text


USAGE = {
    "a": "sides given: 1, expected two, A and B",
    "a a": "both sides are 'a', expected two",
    "a,role=master b,role=master": "both sides listen, so two slaves would meet, and each brings "
    "memory of its own: use memif bridge, which copies",
    "a,role=slave b,role=slave": "both sides connect, so two masters would meet, and neither "
    "brings memory: use memif bridge, which copies",
    "a tap:x": "'tap:x': a relay joins two memif sockets; use memif bridge",
    "a,secret-file=x b": "'a,secret-file=x' has 'secret-file', expected role or id",
    "a b,socket-mode=660": "'b,socket-mode=660': mode, owner and group are for the socket of the "
    "side that listens",
    "a,socket-group=nonexistent b": "nonexistent",
    "@a,socket-mode=660 b": "an abstract socket has no mode and no owner",
    "a b,id=x": "'b,id=x', id: 'x' is not a valid integer",
    f"{'x' * 5000} b": "has 5000 bytes, expected 1 to 4095",
}


@pytest.mark.parametrize("line", USAGE, ids=lambda line: line[:30])
def test_wrong_usage_says_what_was_expected(shell, line):
    result = shell.run("relay", *line.split(), status=2)
    assert USAGE[line] in " ".join(result.stderr.split())


def test_a_socket_that_cannot_be_made_ends_with_1(shell):
    result = shell.run("relay", "no/folder/a", "b", status=1)
    assert result.stderr == "memif: no/folder/a: no folder 'no/folder', make it first\n"
    (shell.folder / "file").touch()
    result = shell.run("relay", "file", "b", status=1)
    assert "'file' exists and is not a socket" in result.stderr
    with Interface(shell.socket, role="master"):
        result = shell.run("relay", shell.socket, "b", status=1)
        assert "another process listens on" in result.stderr
