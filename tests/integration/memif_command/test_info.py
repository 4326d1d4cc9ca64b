# SPDX-License-Identifier: Apache-2.0
"""`memif info` says who listens."""

import json
import os

import pytest
from support.memif_command import icmpecho, interrupt, ping_testpmd

from libmemif_py import Interface


def test_info_says_who_listens(shell):
    with Interface(shell.socket, role="master", s2m_rings=3, m2s_rings=2):
        found = json.loads(shell.run("info", shell.socket, "--json").stdout)
        text = shell.run("info", shell.socket).stdout
    assert found.pop("program")
    assert found["pid"] == os.getpid()
    assert (found["min_version"], found["max_version"]) == (256, 512)
    assert found["uid"] == os.geteuid()
    assert f"process   {os.getpid()} " in text
    assert "protocol  256 (1.0) to 512 (2.0)" in text


def test_info_of_testpmd(shell):
    with icmpecho(shell) as testpmd:
        found = json.loads(shell.run("info", shell.socket, "--json").stdout)
        assert found["pid"] == testpmd.pid
        assert found["name"].startswith("DPDK")
        assert (found["min_version"], found["max_version"]) == (512, 512)
        # It was looked at only: it goes on.
        ping_testpmd(shell, testpmd)


def test_info_shows_no_control_characters_of_a_peer(shell):
    import socket

    from libmemif_py.control import wire

    hello = wire.Hello(b"\x1b[2Jevil\n", 512, 512, 255, 0, 0, 14)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(shell.socket)
        listening.listen()
        info = shell.start("info", shell.socket)
        peer, _ = listening.accept()
        with peer:
            peer.send(wire.encode(hello, 512))
            assert info.wait() == 0
    assert "name      \\x1b[2Jevil\\x0a\n" in info.rest()


@pytest.mark.parametrize("said", [b"", b"x", bytes(128), b"\1" + bytes(127), b"\xff" * 200])
def test_info_of_what_is_no_master_ends_with_1(shell, said):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(shell.socket)
        listening.listen()
        info = shell.start("info", shell.socket)
        peer, _ = listening.accept()
        with peer:
            if said:
                peer.send(said)
        assert info.wait() == 1
    assert info.errors.startswith(f"memif: {shell.socket}: ")
    assert info.errors.count("\n") == 1


def test_info_ends_in_peace(shell):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(shell.socket)
        listening.listen()
        info = shell.start("info", shell.socket)
        peer, _ = listening.accept()
        with peer:
            interrupt(info)


def test_info_says_what_a_path_is_that_is_no_socket(shell):
    (shell.folder / "file").touch()
    os.mkfifo(shell.folder / "pipe")
    for path, kind in {"file": "plain file", ".": "folder", "pipe": "pipe"}.items():
        result = shell.run("info", path, status=1)
        expected = f"memif: {path}: is a {kind}, expected the socket of a memif master\n"
        assert result.stderr == expected
