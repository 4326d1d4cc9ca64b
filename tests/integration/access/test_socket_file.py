# SPDX-License-Identifier: Apache-2.0
"""The mode and owner of a socket file are exact, and never wider than asked."""

import errno
import os
import posix
import socket
import sys
import threading
from pathlib import Path

import pytest
from support.access import NOBODY, SOMEBODY, heard_by, mode_of, open_descriptors, umask
from support.programs import Program

from libmemif_py import Interface, errors


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

    monkeypatch.setattr(posix, "chown", watched)
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

    monkeypatch.setattr(posix, "chown", forbidden)
    with pytest.raises(PermissionError):
        Interface(path, role="master", socket_owner=SOMEBODY)
    assert not path.exists()


def put_link(path: Path, other: Path) -> None:
    other.write_text("")
    path.symlink_to(other)


def put_hard_link(path: Path, other: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bound:
        bound.bind(str(other))
    path.hardlink_to(other)


def put_file(path: Path, other: Path) -> None:
    other.write_text("")
    path.hardlink_to(other)


@pytest.mark.parametrize("put", [put_link, put_hard_link, put_file])
def test_what_was_put_in_the_sockets_place_keeps_its_mode(path, folder, monkeypatch, put):
    other = folder / "other"
    open_ = os.open

    def swapped(where, *arguments, **options):
        if os.fsdecode(where) == path.name:
            path.unlink()
            put(path, other)
            other.chmod(0o640)
        return open_(where, *arguments, **options)

    monkeypatch.setattr(posix, "open", swapped)
    with pytest.raises(errors.AccessError, match="replaced"):
        Interface(path, role="master", socket_mode=0o666, socket_owner=SOMEBODY)
    assert (mode_of(other), other.stat().st_uid) == (0o640, os.geteuid())
