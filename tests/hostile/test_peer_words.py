# SPDX-License-Identifier: Apache-2.0
"""What a peer says of itself forges no line and moves no cursor, wherever a text of ours shows it:
debug lines, reasons, exceptions, details, and what the command `memif` prints."""

import contextlib
import json
import os
import queue
import re
import socket
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies as st
from support import raw_peer as p
from support.attack import SharedTarget, shared_targets
from support.builds import run
from support.programs import TIMEOUT, Program
from support.raw_slave import RawSlave

from libmemif_py import Interface, Timeout, errors
from libmemif_py.control import wire

# A line of its own, escape sequences of one byte and of two, order from right to left, no UTF-8.
EVIL = b"x\nMEMIF_DEBUG:\r\x1b[2J\xc2\x9b\xe2\x80\xae\xff\t"
SHOWN = r"x\x0aMEMIF_DEBUG:\x0d\x1b[2J\u009b\u202e\xff\x09"
OURS = re.compile(r"\[ *\d+\.\d{6}\] MEMIF_DEBUG:libmemif_py/")
MEMIF = [sys.executable, "-P", "-m", "libmemif_py.tools"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"", ""),
        (b"VPP 24.10-rc0~7", "VPP 24.10-rc0~7"),
        ("Zürich, 東京 🚀".encode(), "Zürich, 東京 🚀"),
        (b"a\\b", "a\\b"),
        (b"\0\x1f\x7f", r"\x00\x1f\x7f"),
        ("\x80\x9f\xa0".encode(), r"\u0080\u009f\u00a0"),
        ("\u200b\u2028\u2066\ufeff".encode(), r"\u200b\u2028\u2066\ufeff"),
        ("\U000e0041".encode(), r"\U000e0041"),
        (b"\xc3", r"\xc3"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        (EVIL, SHOWN),
    ],
)  # fmt: skip
def test_what_can_be_seen_stays_and_all_else_is_escaped(text, shown):
    assert wire.printable(text) == shown


@hypothesis.given(st.binary(max_size=96))
def test_whatever_was_said_is_one_printable_line(text):
    shown = wire.printable(text)
    assert shown.isprintable()
    assert wire.printable(shown.encode()) == shown


def test_details_show_the_names_of_a_peer_escaped(tmp_path):
    with (
        Interface(tmp_path / "socket", role="master") as master,
        Interface(tmp_path / "socket", name=EVIL, app_name=EVIL) as slave,
    ):
        master.wait_connected(TIMEOUT)
        details = master.details()
        assert (details.remote_name, details.remote_app_name) == (SHOWN, SHOWN)
        slave.wait_connected(TIMEOUT)


def say_goodbye(master, reason):
    """The master of a socket answers the first word of a slave with DISCONNECT."""
    peer, _ = master.accept()
    with peer:
        peer.send(p.disconnect(reason))
        while peer.recv(wire.MESSAGE_SIZE):
            pass


@contextlib.contextmanager
def listening(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.settimeout(TIMEOUT)
        one.bind(os.fspath(path))
        one.listen()
        yield one


def test_exceptions_show_the_reason_of_a_peer_escaped(tmp_path):
    with listening(tmp_path / "socket") as master, Interface(tmp_path / "socket") as slave:
        say_goodbye(master, EVIL)
        with pytest.raises(Timeout) as no_link:
            slave.wait_connected(0.01)
        with pytest.raises(errors.Disconnected) as no_packet:
            slave.recv(0)
        expected = f"disconnected by the peer: {SHOWN}"
        assert slave.details().last_error == expected
        assert str(no_link.value) == f"no link within 0.01 s ({expected})"
        assert str(no_packet.value) == f"not connected for 0 s: {expected}"


def test_on_disconnect_hears_the_reason_of_a_peer_escaped(tmp_path):
    reasons = queue.SimpleQueue()
    with (
        Interface(
            tmp_path / "socket", role="master", on_disconnect=lambda _, why: reasons.put(why)
        ),
        RawSlave(tmp_path / "socket") as peer,
    ):
        assert isinstance(peer.connect(), wire.Connected)
        peer.say(wire.Disconnect(0, EVIL))
        assert reasons.get(timeout=TIMEOUT) == f"disconnected by the peer: {SHOWN}"


def test_the_reason_that_names_a_refused_peer_has_it_escaped(tmp_path):
    """One with more queues than the master hears their number when it comes again."""
    with (
        Interface(tmp_path / "socket", role="master") as master,
        RawSlave(tmp_path / "socket") as peer,
    ):
        peer.socket.connect(os.fspath(tmp_path / "socket"))
        assert isinstance(peer.hear(), wire.Hello)
        for message, fd in (
            (wire.Init(wire.VERSION_2, 0, 0, b"", EVIL), None),
            (wire.AddRegion(0, peer.size), peer.memfd),
            (wire.AddRing(True, 1, 0, 0, 3, 0), peer.efds[0]),
        ):
            answer = peer.ask(message, fd)
        assert isinstance(answer, wire.Disconnect)
        assert peer.hear() is None
        while not (error := master.details().last_error):
            pass  # it is noted after the last word to the peer
        assert f"; {SHOWN} will be told so" in error


@pytest.fixture(scope="module", params=["v1", "v4", "python"])
def shared(request, tmp_path_factory) -> SharedTarget:
    yield from shared_targets(request, tmp_path_factory)


@pytest.fixture
def target(request, shared):
    yield from shared.targets(request.session)


def test_debug_lines_are_ours_whatever_a_peer_says(target):
    with target.slave().to("greeted") as peer:
        peer.ask(p.init(512, name=EVIL))
        peer.state = "accepted"
        peer.to("rings")
        peer.send(p.connect(EVIL))
        peer.expect(p.CONNECTED)
        peer.send(p.disconnect(EVIL))
        peer.ending()
    with target.master().to("connected") as peer:
        peer.send(p.disconnect(EVIL))
        peer.ending()
    target.check()
    assert target.said(f"disconnected by the peer: {SHOWN}\n")
    lines = target.program.errors.splitlines()
    assert all(line.isprintable() and OURS.match(line) for line in lines)


# ---- the command ----


def memif(*words, status=0):
    return run([*MEMIF, *map(str, words)], status=status)


MASTER = """
import ctypes, socket, sys
from libmemif_py.control import wire
ctypes.CDLL(None).prctl(15, b"a\\x1b\\n\\xff")  # PR_SET_NAME
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
    listening.bind(sys.argv[1])
    listening.listen()
    print("listening", flush=True)
    peer, _ = listening.accept()
    peer.send(wire.encode(wire.Hello(EVIL, 512, 512, 255, 0, 0, 14), 512))
    while peer.recv(wire.MESSAGE_SIZE):
        pass
"""


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_info_shows_a_master_escaped(tmp_path, form):
    """The name of its program, too, which the kernel tells."""
    path = tmp_path / "socket"
    code = MASTER.replace("EVIL", repr(EVIL))
    with Program([sys.executable, "-P", "-c", code, path], tmp_path / "errors") as program:
        assert program.line() == "listening"
        output = memif("info", path, *form).stdout
        assert program.wait() == 0
    shown = (
        json.loads(output) if form else dict(line.split(None, 1) for line in output.splitlines())
    )
    assert shown["name"] == SHOWN
    assert r"a\x1b\x0a\xff" in shown["program" if form else "process"]
    assert all(line.isprintable() for line in output.splitlines())


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_top_shows_a_peer_escaped(tmp_path, form):
    with Interface(tmp_path / "socket", role="master", name=EVIL, app_name=EVIL):
        output = memif("top", tmp_path / "socket", "-n", 1, "--wait", TIMEOUT, *form).stdout
    if form:
        (rows,) = [json.loads(line) for line in output.splitlines()]
        assert {row["peer"] for row in rows} == {f"libmemif_py {SHOWN}"}
    assert "MEMIF_DEBUG" in output
    assert all(line.isprintable() for line in output.splitlines())


@pytest.mark.parametrize("words", [["dump", "--wait", 2], ["ping", "10.0.0.2"], ["top"]])
def test_no_link_is_told_with_the_reason_of_a_peer_escaped(tmp_path, words):
    with listening(tmp_path / "socket") as master:
        where = [tmp_path / "socket"] if words == ["top"] else ["-S", tmp_path / "socket"]
        command = [*MEMIF, *words[:1], *where, *words[1:], "--wait", 2]
        with subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as program:
            say_goodbye(master, EVIL)
            output = program.stdout.read().decode()
        assert program.returncode == 1
    assert SHOWN in output
    assert all(line.isprintable() for line in output.splitlines())
