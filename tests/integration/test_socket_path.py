# SPDX-License-Identifier: Apache-2.0
"""Where a master's socket can be, and whose it is when several want the place."""

import contextlib
import errno
import fcntl
import os
import posix
import shutil
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.builds import SUPPORT
from support.programs import TIMEOUT, Program

from libmemif_py import Interface, errors
from libmemif_py.control import hub, reactor, socket_path, sockets

MASTERS = 6
ROUNDS = 25
SOMEBODY = 12345
PATHS = {
    "107 bytes": lambda folder: folder / "s".ljust(107 - len(str(folder)) - 1, "s"),
    "108 bytes": lambda folder: folder / "s".ljust(108 - len(str(folder)) - 1, "s"),
    "a name of 255 bytes": lambda folder: folder / ("n" * 255),
    "4095 bytes": lambda folder: deep(folder, 4095),
}
each_path = pytest.mark.parametrize("place", PATHS)


def deep(folder: Path, length: int) -> Path:
    """A path of so many bytes."""
    rest = length - len(str(folder))
    parts = ["f" * 200] * (rest // 201 - 1)
    left = rest - 201 * len(parts) - 1
    return folder.joinpath(*parts, "g" * (left // 2), "s" * (left - left // 2 - 1))


@pytest.fixture
def path(place, tmp_path_factory):
    path = PATHS[place](tmp_path_factory.mktemp("p"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def leave_stale_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(str(path.with_name("new")))
    path.with_name("new").rename(path)


@contextlib.contextmanager
def listener(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(str(path))
        sock.listen()
        yield


# ---- paths that do not fit an address


@each_path
def test_both_roles_meet_at_a_path_of_any_length(path):
    with Interface(path, role="master") as master, Interface(path) as slave:
        slave.wait_connected(TIMEOUT)
        slave.send(b"packet", TIMEOUT)
        assert master.recv(TIMEOUT) == b"packet"
        assert names_in(path.parent) == [path.name]
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert names_in(path.parent) == []


@each_path
def test_a_socket_has_its_mode_whatever_the_length_of_its_path(path):
    with Interface(path, role="master", socket_mode=0o640):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


@each_path
def test_a_path_that_is_taken_is_taken_whatever_its_length(path):
    with Interface(path, role="master"), pytest.raises(errors.AlreadyError):
        sockets.ListeningSocket(os.fsencode(path), reactor.lib)


def test_a_stale_file_is_replaced_at_a_long_path_as_well(tmp_path):
    path = tmp_path / ("n" * 100)
    leave_stale_file(path)
    with Interface(path, role="master") as master, Interface(path):
        master.wait_connected(TIMEOUT)


@pytest.mark.parametrize("role", ["master", "slave"])
def test_a_path_of_more_than_4095_bytes_is_refused_with_the_limit(role):
    with pytest.raises(errors.ArgumentError, match="has 4096 bytes, expected 1 to 4095"):
        Interface("/" + "s" * 4095, role=role)


@pytest.mark.parametrize("role", ["master", "slave"])
def test_without_proc_the_limit_is_that_of_an_address(monkeypatch, role):
    monkeypatch.setattr(socket_path, "_PROC", b"/nowhere")
    with pytest.raises(errors.ArgumentError, match="expected 1 to 107: longer ones need /proc"):
        Interface("/" + "s" * 107, role=role)


@pytest.mark.parametrize("role", ["master", "slave"])
def test_an_abstract_name_has_to_fit_an_address(role):
    with pytest.raises(errors.ArgumentError, match="has 108 bytes, expected 1 to 107"):
        Interface("@" + "s" * 107, role=role)


@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("path", ["/tmp/a\0b", "/tmp/" + "a" * 200 + "\0"])
def test_a_path_with_a_nul_byte_is_refused(role, path):
    with pytest.raises(errors.ArgumentError) as caught:
        Interface(path, role=role)
    text = f"socket path {path!r} has a NUL byte at {path.index(chr(0))}, expected none"
    assert str(caught.value) == text


def test_an_abstract_name_may_have_a_nul_byte():
    name = f"@memif-{os.getpid()}\0b"
    with Interface(name, role="master") as master, Interface(name):
        master.wait_connected(TIMEOUT)


# ---- several masters


def test_of_many_masters_that_start_at_once_one_gets_the_path(tmp_path):
    """Over a stale file, which each of them would replace."""
    path = tmp_path / "socket"
    command = [sys.executable, SUPPORT / "competing_master.py", path]
    with contextlib.ExitStack() as stack:
        masters = [
            stack.enter_context(Program(command, tmp_path / f"errors-{i}")) for i in range(MASTERS)
        ]
        for program in masters:
            assert program.line() == "ready"
        for number in range(ROUNDS):
            leave_stale_file(path)
            shot = tmp_path / f"shot-{number}"
            for program in masters:
                program.write(f"{shot}\n")
            shot.touch()
            heard = sorted(program.line() for program in masters)
            assert heard == ["ALREADY"] * (MASTERS - 1) + ["listens"], f"round {number}"
            with Interface(path) as slave:
                slave.wait_connected(TIMEOUT)
            for program in masters:
                program.write("\n")
            assert {program.line() for program in masters} == {"over"}
            assert not [name for name in names_in(tmp_path) if "socket" in name]


@pytest.mark.parametrize("name", ["socket", "s" * 200])
def test_what_a_master_that_was_killed_has_left_is_taken_over(tmp_path, name):
    path = tmp_path / name
    (tmp_path / f".{name[:64]}.lock").touch(0o600)
    if len(name) > 100:
        leave_stale_file(tmp_path / f".{name[:64]}.new")
    leave_stale_file(path)
    with Interface(path, role="master") as master, Interface(path):
        master.wait_connected(TIMEOUT)
        assert names_in(tmp_path) == [name]


@pytest.fixture
def nap(monkeypatch):
    """A list of what is to be done in the next naps of a master that waits, instead of sleeping."""
    todo = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: todo.pop(0)())
    monkeypatch.setattr(hub, "time", clock)
    monkeypatch.setattr(reactor, "_lock", threading.RLock())  # it may make another meanwhile
    return todo


@pytest.fixture
def turn_of_another(tmp_path):
    """Somebody is making `tmp_path / "socket"`. Its method `close` ends that."""
    with contextlib.ExitStack() as turn:
        turn.enter_context(socket_path.Turn(os.fsencode(tmp_path / "socket")))
        yield turn


def test_a_master_waits_for_one_that_is_making_the_socket(tmp_path, nap, turn_of_another):
    seen = []
    nap += [lambda: seen.append(names_in(tmp_path)), turn_of_another.close]
    with Interface(tmp_path / "socket", role="master"):
        assert seen == [[".socket.lock"]]
    assert names_in(tmp_path) == []


def test_while_a_master_waits_the_others_go_on(tmp_path, nap, turn_of_another):
    """The control lock is free for handshakes."""
    linked = []

    def link_others() -> None:
        with Interface(tmp_path / "b", role="master") as other, Interface(tmp_path / "b"):
            other.wait_connected(TIMEOUT)
            linked.append(True)
        turn_of_another.close()

    nap.append(link_others)
    with Interface(tmp_path / "c"), Interface(tmp_path / "socket", role="master"):
        assert linked == [True]


def test_masters_of_one_process_that_waited_share_the_socket(tmp_path, nap, turn_of_another):
    path = tmp_path / "socket"
    with contextlib.ExitStack() as stack:

        def make_the_first() -> None:
            turn_of_another.close()
            stack.enter_context(Interface(path, role="master", id=1))

        nap.append(make_the_first)
        stack.enter_context(Interface(tmp_path / "c"))
        master = stack.enter_context(Interface(path, role="master", id=2))
        stack.enter_context(Interface(path, id=2))
        master.wait_connected(TIMEOUT)


def test_a_master_that_waits_sees_the_end_of_all(tmp_path, nap, turn_of_another):
    with Interface(tmp_path / "c") as other:
        ours = other._endpoint.hub
        nap.append(lambda: setattr(ours, "closed", True))
        with pytest.raises(errors.ArgumentError, match="is being deleted"):
            Interface(tmp_path / "socket", role="master")
        ours.closed = False


def test_a_master_does_not_wait_for_ever(tmp_path, monkeypatch):
    """And says which file it is about."""
    monkeypatch.setattr(hub, "TURN_PATIENCE", 0.01)
    lock = tmp_path / ".socket.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(errors.AgainError, match=f"holds the lock file '{lock}'"):
            Interface(tmp_path / "socket", role="master")
    Interface(tmp_path / "socket", role="master").close()


def test_no_other_user_can_take_the_turn(tmp_path):
    before = os.umask(0)
    try:
        with socket_path.Turn(os.fsencode(tmp_path / "socket")):
            assert stat.S_IMODE((tmp_path / ".socket.lock").stat().st_mode) == 0o600
    finally:
        os.umask(before)


@contextlib.contextmanager
def being(uid: int) -> Iterator[None]:
    """As another user, where we may."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def shared():
    """A folder where all may write, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="memif-places-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


LOCKS_OF_OTHERS = {
    "file": lambda lock: lock.touch(0o600),
    "folder": lambda lock: lock.mkdir(),
    "link": lambda lock: lock.symlink_to("elsewhere"),
    "socket": leave_stale_file,
}


@pytest.mark.parametrize("kind", LOCKS_OF_OTHERS)
def test_a_lock_file_that_cannot_be_opened_is_named_at_once(shared, nap, kind):
    lock = shared / ".socket.lock"
    LOCKS_OF_OTHERS[kind](lock)
    if kind == "file":
        lock.chmod(0)
    text = f"'{lock}' belongs to user {os.geteuid()} and has mode .*, expected a file .* remove it"
    with being(SOMEBODY), pytest.raises(errors.AccessError, match=text):
        Interface(shared / "socket", role="master")
    assert nap == []


def test_a_lock_file_of_another_user_that_all_may_open_is_left_there(shared):
    lock = shared / ".socket.lock"
    lock.touch()
    lock.chmod(0o666)
    path = shared / "socket"
    with being(SOMEBODY), Interface(path, role="master") as master, Interface(path):
        master.wait_connected(TIMEOUT)


def test_where_only_the_socket_may_be_made_there_is_no_lock(tmp_path, monkeypatch):
    """As rules for single files say, those of AppArmor and Landlock."""
    real = os.open

    def refusing(name, flags, *arguments, **options):
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(name, flags, *arguments, **options)

    monkeypatch.setattr(posix, "open", refusing)
    with Interface(tmp_path / "socket", role="master") as master, Interface(tmp_path / "socket"):
        master.wait_connected(TIMEOUT)


def test_who_did_not_wait_for_its_turn_is_not_robbed(tmp_path, monkeypatch):
    """Another implementation, which makes its socket after we looked."""
    path = tmp_path / "socket"
    monkeypatch.setattr(sockets.Access, "tighten", lambda *_: stack.enter_context(listener(path)))
    with contextlib.ExitStack() as stack, pytest.raises(errors.AlreadyError):
        Interface(path, role="master")
    assert names_in(tmp_path) == ["socket"]


def test_an_abstract_name_that_is_taken_is_told_so():
    name = f"@memif-{os.getpid()}"
    with Interface(name, role="master"), pytest.raises(errors.AlreadyError):
        sockets.ListeningSocket(os.fsencode(name), reactor.lib)


def test_while_it_closes_a_master_takes_its_file_away_first(tmp_path, monkeypatch):
    """Else another would find it stale, replace it, and lose its own to us."""
    path = os.fsencode(tmp_path / "socket")
    listening = sockets.ListeningSocket(path, reactor.lib)
    removing = sockets._unlink

    def remove(path: bytes) -> None:
        with pytest.raises(errors.AlreadyError):
            sockets.ListeningSocket(path, reactor.lib)
        removing(path)

    monkeypatch.setattr(sockets, "_unlink", remove)
    listening.close()
    assert names_in(tmp_path) == []


# ---- sockets that are shared


def test_who_comes_too_late_for_a_connection_does_not_wait_for_the_next(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(path)
        listening.listen()
        adopted = sockets.AdoptedSocket(listening.fileno(), reactor.lib)
        os.set_blocking(listening.fileno(), True)  # as a service manager does for the next one
        outcomes = []

        def accept() -> None:
            try:
                outcomes.append(adopted.accept())
            except BlockingIOError:
                outcomes.append(None)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        thread.join(TIMEOUT)
        assert outcomes == [None]
        adopted.close()
