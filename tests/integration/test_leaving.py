# SPDX-License-Identifier: Apache-2.0
"""Nobody is left without a word: DISCONNECT comes before the end, also before INIT.

A VPP master that has greeted does not survive a guest that leaves before INIT and says nothing.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest
from support.c_collector import build_directories
from support.programs import TIMEOUT, Launcher, Program

from libmemif_py import Interface, errors
from libmemif_py.control import hub, link, listener, reactor, sockets, wire

MEMIF = [sys.executable, "-P", "-m", "libmemif_py.tools"]
HELLO = wire.Hello(b"greeter", 256, 512, 255, 255, 255, 14)
STRANGE_VERSIONS = wire.Hello(b"greeter", 600, 700, 255, 255, 255, 14)
NO_ROOM = wire.Hello(b"greeter", 256, 512, 0, 255, 255, 14)


class Greeter:
    """Listens, and keeps what each guest says until it leaves."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(path)
        self.socket.listen()
        self.socket.settimeout(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.socket.close()

    def accept(self, *greeting):
        guest, _ = self.socket.accept()
        guest.settimeout(TIMEOUT)
        for message in greeting:
            guest.send(message if isinstance(message, bytes) else wire.encode(message, 512))
        return guest

    def has_guest(self):
        self.socket.setblocking(False)
        try:
            self.socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True


def last_words(guest):
    """The reason in DISCONNECT, which is the one thing a guest says before it leaves."""
    with guest:
        message = wire.decode(guest.recv(200), 512)
        assert isinstance(message, wire.Disconnect)
        assert guest.recv(200) == b""
        return message.reason.decode()


@pytest.fixture
def greeter(tmp_path):
    with Greeter(str(tmp_path / "m.sock")) as greeter:
        yield greeter


# ---- a slave of ours ----


def test_a_slave_that_is_closed_before_hello(greeter):
    with Interface(greeter.path):
        guest = greeter.accept()
    assert last_words(guest) == "interface deleted"


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (STRANGE_VERSIONS, "peer speaks versions 600 to 700, we speak 256 to 512"),
        (NO_ROOM, None),
        (wire.Ack(), "ACK is not allowed in state WAIT_HELLO"),
        (b"nonsense", "message of 8 bytes"),
    ],
    ids=["versions", "regions", "no HELLO", "nonsense"],
)
def test_a_slave_that_does_not_like_hello(greeter, hello, reason):
    settings = {"ring_size": 16384, "buffer_size": 65535, "s2m_rings": 8} if not reason else {}
    with Interface(greeter.path, **settings):
        words = last_words(greeter.accept(hello))
    assert words
    assert reason is None or reason in words


def test_a_slave_whose_program_does_not_want_the_master(greeter):
    with Interface(greeter.path, allow=lambda _peer: False):
        assert last_words(greeter.accept(HELLO)) == "not admitted by the application"


def test_a_slave_that_waits_for_hello_for_too_long(greeter):
    with Interface(greeter.path, handshake_timeout=0.1):
        assert last_words(greeter.accept()) == "handshake timed out"


def test_a_slave_that_cannot_watch_its_channel(greeter, monkeypatch):
    watch = hub.Hub.watch

    def fail_for_links(self, fd, handler):
        if isinstance(handler, link.SlaveLink):
            raise errors.NoMemoryError("no place")
        watch(self, fd, handler)

    monkeypatch.setattr(hub.Hub, "watch", fail_for_links)
    with Interface(greeter.path):
        assert "no place" in last_words(greeter.accept())


def test_a_program_that_ends_without_closing(greeter):
    program = "import sys; from libmemif_py import Interface; i = Interface(sys.argv[1]); input()"
    command = [sys.executable, "-P", "-c", program, greeter.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        guest = greeter.accept()
        process.communicate(b"\n")
        assert last_words(guest) == "interface deleted"


@pytest.mark.parametrize("name", ["icmp_responder", "icmp_responder2", "icmp_responder4"])
def test_a_c_slave_that_is_stopped_before_hello(greeter, name, tmp_path, pytestconfig):
    launcher = Launcher(tmp_path, build_directories(pytestconfig)[0].path)
    with launcher.example(name, path=greeter.path) as program:
        if name == "icmp_responder":
            program.write("conn 0\n")
        guest = greeter.accept()
        program.send_signal(signal.SIGINT)
        assert program.wait() == 0
        assert last_words(guest) == "interface deleted"


# ---- a master of ours ----


def test_a_master_looks_whether_somebody_listens_without_a_visit(greeter):
    with pytest.raises(errors.AlreadyError):
        Interface(greeter.path, role="master")
    assert not greeter.has_guest()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_socket_file_is_replaced_only_when_nobody_has_the_socket(tmp_path, kind, is_open):
    path = str(tmp_path / "m.sock")
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        one.bind(path)
        if is_open:
            stack.enter_context(pytest.raises(errors.AlreadyError))
        else:
            one.close()
        sockets.ListeningSocket(os.fsencode(path), reactor.lib).close()


def test_a_slave_that_has_not_named_an_interface_hears_that_its_master_leaves(tmp_path):
    path = str(tmp_path / "m.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as guest:
        guest.settimeout(TIMEOUT)
        with Interface(path, role="master"):
            guest.connect(path)
            assert isinstance(wire.decode(guest.recv(200), 512), wire.Hello)
        assert last_words(guest) == "listener closed"


# ---- the command ----


@contextlib.contextmanager
def info(greeter, tmp_path, *words):
    with Program([*MEMIF, "info", greeter.path, *words], tmp_path / "errors") as program:
        yield program


@pytest.mark.parametrize("said", [HELLO, wire.Ack(), b"nonsense"], ids=["HELLO", "ACK", "nonsense"])
def test_info(greeter, tmp_path, said):
    with info(greeter, tmp_path) as program:
        assert last_words(greeter.accept(said)) == "only looking"
        assert program.wait() == (0 if said is HELLO else 1)


def test_info_that_waits_in_vain(greeter, tmp_path):
    with info(greeter, tmp_path, "--wait", "0.1") as program:
        assert last_words(greeter.accept()) == "only looking"
        assert program.wait() == 1


def test_info_that_is_stopped(greeter, tmp_path):
    with info(greeter, tmp_path) as program:
        guest = greeter.accept()
        program.send_signal(signal.SIGINT)
        assert last_words(guest) == "only looking"
        assert program.wait() == 130


def test_a_peer_that_is_faster_than_the_first_interface_is_greeted(tmp_path, monkeypatch):
    path = str(tmp_path / "memif.sock")
    add = listener.Listener.add
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:

        def early(ours, endpoint):
            peer.connect(path)
            ours.on_ready(1)
            add(ours, endpoint)

        monkeypatch.setattr(listener.Listener, "add", early)
        with Interface(path, role="master"):
            peer.settimeout(TIMEOUT)
            assert isinstance(wire.decode(peer.recv(wire.MESSAGE_SIZE), wire.VERSION_2), wire.Hello)
