# SPDX-License-Identifier: Apache-2.0
"""Both ends know each other's user, and `allow` decides who gets in."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest
from support.access import (
    NOT_ADMITTED,
    SOMEBODY,
    WORD,
    descriptors_left,
    heard_by,
    open_descriptors,
    other_user,
    wait_for_error,
)
from support.programs import TIMEOUT

from libmemif_py import Interface, Peer, errors
from libmemif_py.control import regions, wire


def test_both_ends_know_each_other(path):
    us = Peer(os.getpid(), os.geteuid(), os.getegid())
    with Interface(path, role="master") as master:
        assert master.peer is None
        with Interface(path) as slave:
            master.wait_connected(TIMEOUT)
            slave.wait_connected(TIMEOUT)
            assert (master.peer, slave.peer) == (us, us)
    assert (master.peer, slave.peer) == (None, None)


def test_a_slave_of_another_user_is_known(path, tmp_path):
    with (
        Interface(path, role="master", socket_mode=0o666) as master,
        other_user(tmp_path, SOMEBODY, "slave", path) as slave,
    ):
        assert slave.line() == "connected"
        master.wait_connected(TIMEOUT)
        assert master.peer == Peer(slave.pid, SOMEBODY, SOMEBODY)


def test_a_master_of_another_user_is_known(folder, tmp_path):
    folder.chmod(0o777)
    path = folder / "socket"
    with other_user(tmp_path, SOMEBODY, "master", path) as master:
        assert master.line() == "listening"
        with Interface(path) as slave:
            slave.wait_connected(TIMEOUT)
            assert slave.peer == Peer(master.pid, SOMEBODY, SOMEBODY)


@pytest.mark.parametrize("roles", [("master", "slave"), ("slave", "master")], ids=lambda r: r[0])
def test_allow_is_asked_with_the_peer_before_the_link_is_up(path, roles):
    asked = []

    def allow(peer):
        asked.append((peer, asking.connected))
        return True

    with Interface(path, role=roles[0], allow=allow) as asking, Interface(path, role=roles[1]):
        asking.wait_connected(TIMEOUT)
    assert asked == [(Peer(os.getpid(), os.geteuid(), os.getegid()), False)]


def not_admitted(tmp_path: Path, path: Path, **settings) -> str:
    """What a refused slave hears, and that it costs nothing for good."""
    with Interface(path, role="master", socket_mode=0o666, **settings) as master:
        before = open_descriptors()
        heard = heard_by(tmp_path, SOMEBODY, path)
        wait_for_error(master, NOT_ADMITTED)  # the last thing that happens
        left = descriptors_left(before)
        assert (master.connected, master.peer, left) == (False, None, before)
    return heard


def test_whom_allow_refuses_hears_so(path, tmp_path):
    assert not_admitted(tmp_path, path, allow=lambda peer: peer.uid == 0) == NOT_ADMITTED


def test_whom_allow_admits_gets_in(path, tmp_path):
    with Interface(path, role="master", socket_mode=0o666, allow=lambda p: p.uid == SOMEBODY):
        assert heard_by(tmp_path, SOMEBODY, path) == "connected"


def raising(error: BaseException):
    def allow(_peer):
        raise error

    return allow


@pytest.mark.parametrize(
    ("allow", "kind"),
    [
        (raising(ValueError("a private matter")), ValueError),
        (raising(errors.ArgumentError("a private matter")), errors.ArgumentError),
        (raising(SystemExit("a private matter")), SystemExit),
        (raising(KeyboardInterrupt("a private matter")), KeyboardInterrupt),
        (lambda _peer: 1, TypeError),
        (lambda _peer: None, TypeError),
        (lambda _peer: object(), TypeError),
    ],
    ids=["exception", "our own", "exit", "interrupt", "number", "nothing", "object"],
)
def test_an_allow_that_fails_refuses_and_is_reported_to_us_alone(
    path, tmp_path, monkeypatch, allow, kind
):
    reported = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, _error, _where: reported.append(kind))
    assert not_admitted(tmp_path, path, allow=allow) == NOT_ADMITTED
    assert reported == [kind]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [ValueError("private"), SystemExit("private")], ids=repr)
def test_not_even_a_failing_report_lets_a_peer_in(path, tmp_path, monkeypatch, error):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr(sys, "excepthook", fail)
    assert not_admitted(tmp_path, path, allow=raising(error)) == NOT_ADMITTED


def test_while_allow_is_asked_the_library_can_be_used(path, folder):
    """Under the control lock it would wait for what waits for it."""
    asked, done = threading.Event(), threading.Event()
    in_time = []

    def allow(_peer):
        asked.set()
        in_time.append(done.wait(TIMEOUT))
        return in_time[-1]

    with Interface(path, role="master", allow=allow) as master, Interface(path):
        assert asked.wait(TIMEOUT)
        with Interface(folder / "other", role="master") as other:
            assert not other.connected
        done.set()
        master.wait_connected(TIMEOUT)
    assert in_time == [True]


def test_an_interface_may_be_closed_while_allow_is_asked(path):
    asked, done = threading.Event(), threading.Event()

    def allow(_peer):
        asked.set()
        return done.wait(TIMEOUT)

    before = open_descriptors()
    with Interface(path):
        master = Interface(path, role="master", allow=allow)
        assert asked.wait(TIMEOUT)
        closing = threading.Thread(target=master.close)
        closing.start()
        done.set()
        closing.join(TIMEOUT)
        assert not master.connected
    assert open_descriptors() == before


def test_a_wrong_secret_is_refused_before_the_program_is_asked(path, tmp_path):
    asked = []
    with Interface(path, role="master", socket_mode=0o666, secret=WORD, allow=asked.append):
        assert heard_by(tmp_path, SOMEBODY, path) == "a secret is required"
    assert asked == []


def test_a_slave_that_does_not_want_its_master_tells_it_no_secret(path):
    hello = wire.Hello(b"", wire.VERSION_1, wire.VERSION_2, 255, 255, 255, 14)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.settimeout(TIMEOUT)
        listening.bind(str(path))
        listening.listen()
        with Interface(path, secret=WORD, allow=lambda _peer: False):
            accepted, _ = listening.accept()
            with accepted:
                accepted.settimeout(TIMEOUT)
                accepted.send(wire.encode(hello, wire.VERSION_2))
                heard = accepted.recv(256)
                assert wire.decode(heard, wire.VERSION_2) == wire.Disconnect(
                    0, NOT_ADMITTED.encode()
                )
                assert accepted.recv(256) == b""
                assert WORD.encode() not in heard


def test_of_a_failure_of_our_own_the_peer_hears_no_detail(path, tmp_path, monkeypatch):
    def fail(*_arguments):
        raise ValueError("a private matter")

    monkeypatch.setattr(regions, "check_peer_region", fail)
    with Interface(path, role="master", socket_mode=0o666) as master:
        assert heard_by(tmp_path, SOMEBODY, path) == "cannot set the connection up"
        assert "a private matter" in wait_for_error(master, "cannot set the connection up")
