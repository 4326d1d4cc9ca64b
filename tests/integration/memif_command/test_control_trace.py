# SPDX-License-Identifier: Apache-2.0
"""`--control-trace` records what the ends of a command say, and no secret."""

import os

from support.control_traces import entries_of
from support.memif_command import interrupt, wait_for_words
from support.programs import TIMEOUT, wait_until_listening

from libmemif_py import Interface
from libmemif_py.control import wire
from libmemif_py.tools.formats.control_trace import MASTER, RECEIVED, SENT, SLAVE


def test_a_bridge_records_its_control_messages_and_no_secret(shell):
    trace, secret = shell.folder / "control.pcapng", b"hush hush hush"
    other = str(shell.folder / "b.sock")
    (shell.folder / "secret").write_bytes(secret)
    words = [shell.socket, f"{other},secret-file={shell.folder / 'secret'}"]
    bridge = shell.start("bridge", *words, "--control-trace", trace)
    for path in (shell.socket, other):
        wait_until_listening(path)
    with Interface(shell.socket), Interface(other, secret=secret) as right:
        right.wait_connected(TIMEOUT)
        wait_for_words(bridge, "connected to", times=2)
    wait_for_words(bridge, "disconnected by the peer", times=2)
    interrupt(bridge)
    assert secret not in trace.read_bytes()
    connections = {}
    for entry in entries_of(trace):
        connections.setdefault(entry.connection, []).append(entry)
    full = [entries for entries in connections.values() if len(entries) > 3]  # others only knocked
    assert len(full) == 2
    for entries in full:
        labels = [wire.decode(e.message, e.version or 512).label for e in entries if e.message]
        assert labels == [
            *("HELLO", "INIT", "ACK", "ADD_REGION", "ACK", "ADD_REGION", "ACK"),
            *("ADD_RING", "ACK", "ADD_RING", "ACK", "CONNECT", "CONNECTED", "DISCONNECT"),
        ]
        assert [e.fds for e in entries if e.fds] == [1] * 4
        assert {e.pid for e in entries} == {os.getpid()}
        assert [(e.direction, e.sender) for e in entries[:2]] == [(SENT, MASTER), (RECEIVED, SLAVE)]
        assert entries[-1].message == b""


def test_a_bridge_goes_on_when_the_reader_of_its_trace_is_gone(shell):
    trace = shell.folder / "trace"
    os.mkfifo(trace)
    sides = [shell.socket, str(shell.folder / "b.sock")]
    bridge = shell.start("bridge", *sides, "--control-trace", trace)
    with trace.open("rb", buffering=0):
        for path in sides:
            wait_until_listening(path)
    with Interface(shell.socket) as left, Interface(sides[1]) as right:
        for ours in (left, right):
            ours.wait_connected(TIMEOUT)
        wait_for_words(bridge, f"--control-trace {trace}: Broken pipe; no more is recorded")
        wait_for_words(bridge, "connected to", times=2)
        left.send(b"packet", TIMEOUT)
        assert right.recv(TIMEOUT) == b"packet"
    interrupt(bridge)


def test_a_trace_that_cannot_be_begun_is_refused(shell):
    for path, reason in (("/nonexistent/x", "No such file"), ("/dev/full", "No space left")):
        result = shell.run("bridge", shell.socket, "b.sock", "--control-trace", path, status=2)
        assert f"--control-trace {path}: {reason}" in result.stderr
