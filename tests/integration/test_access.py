# SPDX-License-Identifier: Apache-2.0
"""Who gets in: the socket's mode and owner, the peer's credentials, memory that cannot be sealed.

Some of the peers run under other users, which takes root to start.
"""

import contextlib
import errno
import os
import shutil
import socket
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from support.builds import SUPPORT
from support.c_collector import build_directories
from support.programs import TIMEOUT, Program, c_program, wait_until_listening

from libmemif_py import Interface, Peer, errors
from libmemif_py.control import regions, wire

NOBODY = 65534  # also what users of other user namespaces show as
SOMEBODY = 12345
NOT_ADMITTED = "not admitted by the application"
WORD = "swordfish"


@pytest.fixture
def folder():
    """One that every user can look into, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="memif-access-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def path(folder):
    return folder / "socket"


@contextlib.contextmanager
def umask(bits: int):
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def other_user(tmp_path: Path, uid: int, role: str, path: Path, *arguments: str) -> Program:
    program = [sys.executable, SUPPORT / "other_user.py", str(uid), role, path]
    return Program([*program, *arguments], tmp_path / f"errors-{role}")


def heard_by(tmp_path: Path, uid: int, path: Path, *arguments: str) -> str:
    """What comes of a slave of another user."""
    with other_user(tmp_path, uid, "slave", path, *arguments) as slave:
        return slave.line()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_for_error(interface: Interface, text: str) -> str:
    """What `last_error` is, once it says so."""
    ended = threading.Event()
    for _ in range(int(TIMEOUT / 0.01)):
        if text in (found := interface.details().last_error):
            return found
        ended.wait(0.01)
    raise AssertionError(f"last error {interface.details().last_error!r}, expected {text!r}")


# ---- the socket file


@pytest.mark.parametrize("bits", [0o000, 0o022, 0o077, 0o117])
def test_a_socket_is_as_the_umask_says_unless_told(path, bits):
    with umask(bits), Interface(path, role="master"):
        assert mode_of(path) == 0o777 & ~bits


@pytest.mark.parametrize("bits", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("mode", [0o000, 0o600, 0o660, 0o606, 0o777])
def test_a_socket_mode_is_exact_whatever_the_umask(path, mode, bits):
    with umask(bits), Interface(path, role="master", socket_mode=mode):
        assert mode_of(path) == mode


@pytest.fixture
def seen(path, monkeypatch):
    """The file's mode, and what comes of connecting, between bind and the owner's change."""
    seen = []
    chown = os.chown

    def watched(*arguments, **options):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as early:
            seen.append((mode_of(path), early.connect_ex(str(path))))
        chown(*arguments, **options)

    monkeypatch.setattr(os, "chown", watched)
    return seen


def test_until_a_socket_has_its_mode_and_owner_nobody_is_let_in(path, seen):
    with umask(0), Interface(path, role="master", socket_mode=0o600, socket_owner=SOMEBODY):
        assert seen == [(0, errno.ECONNREFUSED)]
        assert (mode_of(path), path.stat().st_uid) == (0o600, SOMEBODY)


def test_no_other_thread_sees_another_umask_meanwhile(path, folder):
    """100 sockets against a thread that makes files all the time."""
    over = threading.Event()
    modes = set()

    def make_files():
        while not over.is_set():
            file = folder / "file"
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o666))
            modes.add(mode_of(file))
            file.unlink()

    thread = threading.Thread(target=make_files)
    with umask(0o022):
        thread.start()
        try:
            for _ in range(100):
                Interface(path, role="master", socket_mode=0o600).close()
        finally:
            over.set()
            thread.join()
    assert modes == {0o644}


WATCHER = """
import os, stat, sys
sys.stdout.write("ready\\n"); sys.stdout.flush()
modes = set()
while not os.path.exists(sys.argv[2]):
    try:
        modes.add(stat.S_IMODE(os.stat(sys.argv[1]).st_mode))
    except FileNotFoundError:
        pass
print(*sorted(modes))
"""


def test_another_process_never_sees_a_socket_that_is_wider_than_asked(path, folder, tmp_path):
    """200 sockets against a process that looks all the time."""
    over = folder / "over"
    with Program([sys.executable, "-c", WATCHER, path, over], tmp_path / "errors") as watcher:
        assert watcher.line() == "ready"
        with umask(0):
            for _ in range(200):
                Interface(path, role="master", socket_mode=0o640).close()
        over.touch()
        assert set(map(int, watcher.line().split())) <= {0, 0o640}


@pytest.mark.parametrize(
    ("settings", "owner", "group"),
    [
        ({"socket_owner": SOMEBODY}, SOMEBODY, os.getegid()),
        ({"socket_group": SOMEBODY}, os.geteuid(), SOMEBODY),
        ({"socket_owner": "nobody", "socket_group": "nogroup"}, NOBODY, NOBODY),
    ],
    ids=["owner", "group", "names"],
)
def test_a_socket_gets_its_owner(path, settings, owner, group):
    with umask(0o022), Interface(path, role="master", **settings):
        found = path.stat()
        assert (found.st_uid, found.st_gid, mode_of(path)) == (owner, group, 0o755)


@pytest.mark.parametrize(
    ("settings", "heard"),
    [
        ({"socket_mode": 0o600}, "EACCES"),
        ({"socket_mode": 0o660, "socket_group": NOBODY}, "EACCES"),
        ({"socket_mode": 0o606}, "connected"),
        ({"socket_mode": 0o600, "socket_owner": SOMEBODY}, "connected"),
        ({"socket_mode": 0o660, "socket_group": SOMEBODY}, "connected"),
    ],
    ids=["owner alone", "another group", "others", "by owner", "by group"],
)
def test_who_may_write_to_the_socket_may_connect(path, tmp_path, settings, heard):
    with Interface(path, role="master", **settings):
        assert heard_by(tmp_path, SOMEBODY, path) == heard


@pytest.mark.parametrize(
    "settings",
    [
        {"role": "slave", "socket_mode": 0o600},
        {"role": "slave", "socket_owner": 0},
        {"socket_mode": 0o4755},
        {"socket_mode": -1},
        {"socket_owner": "no such user"},
        {"socket_group": -2},
        {"unsealed": "sometimes"},
        {"handshake_timeout": 0},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing_behind(path, settings):
    before = open_descriptors()
    with pytest.raises(errors.ArgumentError):
        Interface(path, **{"role": "master", **settings})
    assert not path.exists()
    assert open_descriptors() == before


def test_an_abstract_socket_has_no_mode(path):
    with pytest.raises(errors.ArgumentError, match="abstract"):
        Interface(f"@{path}", role="master", socket_mode=0o600)


def test_masters_on_one_socket_agree_about_its_mode(path):
    with (
        Interface(path, role="master", id=0, socket_mode=0o600),
        Interface(path, role="master", id=1, socket_mode=0o600),
        Interface(path, role="master", id=2),
    ):
        with pytest.raises(errors.ArgumentError, match="another mode"):
            Interface(path, role="master", id=3, socket_mode=0o666)
        assert mode_of(path) == 0o600


def test_an_owner_that_cannot_be_given_is_an_error_and_leaves_no_socket(path, monkeypatch):
    def forbidden(*_arguments, **_options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", forbidden)
    with pytest.raises(PermissionError):
        Interface(path, role="master", socket_owner=SOMEBODY)
    assert not path.exists()


def put_link(path: Path, victim: Path) -> None:
    victim.write_text("")
    path.symlink_to(victim)


def put_hard_link(path: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(victim))
    path.hardlink_to(victim)


def put_file(path: Path, victim: Path) -> None:
    victim.write_text("")
    path.hardlink_to(victim)


@pytest.mark.parametrize("put", [put_link, put_hard_link, put_file])
def test_what_was_put_in_the_sockets_place_keeps_its_mode(path, folder, monkeypatch, put):
    victim = folder / "victim"
    open_ = os.open

    def swapped(where, *arguments, **options):
        if os.fsdecode(where) == path.name:
            path.unlink()
            put(path, victim)
            victim.chmod(0o640)
        return open_(where, *arguments, **options)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(errors.AccessError, match="replaced"):
        Interface(path, role="master", socket_mode=0o666, socket_owner=SOMEBODY)
    assert (mode_of(victim), victim.stat().st_uid) == (0o640, os.geteuid())


# ---- the peer's credentials


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
        assert (master.connected, master.peer, open_descriptors()) == (False, None, before)
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


# ---- memory that cannot be sealed


@pytest.mark.parametrize("unsealed", ["trusted", "never", "always"])
@pytest.mark.parametrize("memory", ["sealed", "sealable"])
@pytest.mark.parametrize("uid", [0, SOMEBODY, NOBODY])
def test_memory_that_cannot_shrink_any_more_is_good_from_everybody(
    path, tmp_path, uid, memory, unsealed
):
    with Interface(path, role="master", socket_mode=0o666, unsealed=unsealed):
        assert heard_by(tmp_path, uid, path, memory) == "connected"


@pytest.mark.parametrize("memory", ["unsealable", "file"])
@pytest.mark.parametrize(
    ("unsealed", "uid", "accepted"),
    [
        ("trusted", 0, True),
        ("trusted", SOMEBODY, False),
        ("trusted", NOBODY, False),
        ("never", 0, False),
        ("never", SOMEBODY, False),
        ("always", SOMEBODY, True),
    ],
)
def test_memory_that_can_shrink_is_a_matter_of_trust(
    path, tmp_path, memory, unsealed, uid, accepted
):
    reason = f"region can shrink, user {uid}, policy {unsealed}: expected a sealed memfd"
    with Interface(path, role="master", socket_mode=0o666, unsealed=unsealed):
        heard = heard_by(tmp_path, uid, path, memory)
        assert heard == ("connected" if accepted else reason)


@pytest.mark.parametrize(
    ("uid", "accepted"),
    [(SOMEBODY, True), (NOBODY, False)],
    ids=["our own user", "a user that stands for all of other namespaces"],
)
def test_our_own_user_is_trusted(folder, tmp_path, uid, accepted):
    folder.chmod(0o777)
    path = folder / "socket"
    with other_user(tmp_path, uid, "master", path) as master:
        assert master.line() == "listening"
        heard = heard_by(tmp_path, uid, path, "unsealable")
        assert (heard == "connected") == accepted, heard


@pytest.mark.parametrize("api", ["v1", "v4"])
@pytest.mark.parametrize(
    ("wish", "uid", "accepted"),
    [
        (None, 0, True),
        ("trusted", 0, True),
        ("", 0, True),
        ("never", 0, False),
        ("nevr", 0, False),
        ("always", 0, False),
        ("trusted", SOMEBODY, False),
        ("always", SOMEBODY, False),
    ],
)
def test_the_environment_makes_a_c_program_stricter_and_never_laxer(
    path, tmp_path, pytestconfig, api, wish, uid, accepted
):
    command = [c_program(build_directories(pytestconfig)[0].path, "traffic", api)]
    command += ["-s", str(path), "-r", "master"]
    environment = {} if wish is None else {"LIBMEMIF_UNSEALED": wish}
    with umask(0), Program(command, tmp_path / "errors", environment) as master:
        assert master.line() == "ready"
        wait_until_listening(str(path))
        heard = heard_by(tmp_path, uid, path, "unsealable")
        assert (heard == "connected") == accepted, heard
        assert accepted or "region can shrink" in heard


# ---- before a peer is connected


def hello_on(path: Path) -> wire.Hello:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(TIMEOUT)
        peer.connect(str(path))
        return wire.decode(peer.recv(wire.MESSAGE_SIZE), wire.VERSION_2)


def rings(hello: wire.Hello) -> tuple[int, int]:
    return hello.max_s2m_ring + 1, hello.max_m2s_ring + 1


def test_hello_leaves_the_number_of_rings_to_the_peer_and_more_than_ours_are_refused(path):
    with Interface(path, role="master", s2m_rings=3, m2s_rings=1):
        assert rings(hello_on(path)) == (256, 256)
        with (
            Interface(path, s2m_rings=4) as slave,
            pytest.raises(errors.MemifError, match="rings"),
        ):
            slave.wait_connected(1)


def test_a_peer_that_says_nothing_is_let_go_after_the_time_that_was_set(path):
    with (
        Interface(path, role="master", handshake_timeout=0.05),
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer,
    ):
        peer.settimeout(TIMEOUT)
        peer.connect(str(path))
        peer.recv(wire.MESSAGE_SIZE)
        heard = wire.decode(peer.recv(wire.MESSAGE_SIZE), wire.VERSION_2)
    assert heard == wire.Disconnect(0, b"handshake timed out")


def test_of_too_many_strangers_the_oldest_has_to_go(path):
    before = open_descriptors()
    with contextlib.ExitStack() as stack, Interface(path, role="master") as master:
        peers = []
        for _ in range(256 + 1):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            peer.settimeout(TIMEOUT)
            peer.connect(str(path))
            peer.recv(wire.MESSAGE_SIZE)
            peers.append(peer)
        heard = wire.decode(peers[0].recv(wire.MESSAGE_SIZE), wire.VERSION_2)
        assert heard.reason == b"too many connections wait for their handshake"
        peers[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            peers[1].recv(wire.MESSAGE_SIZE)
        with Interface(path) as slave:  # and who means it is served
            slave.wait_connected(TIMEOUT)
            master.wait_connected(TIMEOUT)
    assert open_descriptors() == before
