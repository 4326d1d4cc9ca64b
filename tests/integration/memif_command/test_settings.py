# SPDX-License-Identifier: Apache-2.0
"""Settings that all subcommands share: the socket file of a master, and the mode."""

import grp
import os
import signal
import stat

import pytest
from support.memif_command import ADDRESS, capture, interrupt, wait_for_words, write_capture
from support.programs import TIMEOUT, wait_until_listening

from libmemif_py import Interface
from libmemif_py.tools.formats import pcapng

GROUP = grp.getgrgid(os.getegid()).gr_name


@pytest.mark.parametrize("group", [GROUP, os.getegid()])
@pytest.mark.parametrize("command", [("respond", ADDRESS), ("dump",), ("ping", ADDRESS)])
def test_a_master_gives_its_socket_file_mode_and_group(shell, command, group):
    access = ("--socket-mode", "0640", "--socket-group", group, "--socket-owner", os.geteuid())
    program = shell.start(*command, "-S", shell.socket, "--role", "master", *access)
    wait_until_listening(shell.socket)
    found = os.stat(shell.socket)
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
    program.send_signal(signal.SIGTERM)
    assert program.wait() == 143


def test_a_bridge_gives_each_socket_file_its_own_mode(shell):
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    words = (f"{paths[0]},socket-mode=600,socket-group={GROUP}", paths[1])
    bridge = shell.start("bridge", *words, "--socket-mode", "666")
    for path in paths:
        wait_until_listening(path)
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in paths] == [0o600, 0o666]
    interrupt(bridge)


def test_a_slave_of_a_bridge_leaves_the_socket_file_to_its_master(shell):
    path = str(shell.folder / "a.sock")
    with Interface(path, role="master", socket_mode=0o600) as ours:
        bridge = shell.start("bridge", f"{path},role=slave", shell.socket, "--socket-mode", "666")
        ours.wait_connected(TIMEOUT)
        wait_until_listening(shell.socket)
        modes = [stat.S_IMODE(os.stat(each).st_mode) for each in (path, shell.socket)]
        assert modes == [0o600, 0o666]
        interrupt(bridge)


def test_a_slave_refuses_a_mode_for_the_socket_file(shell):
    result = shell.run("dump", "-S", shell.socket, "--socket-mode", "660", status=2)
    assert "a slave makes no socket file" in result.stderr


def test_packets_of_punt_inject_are_shown_recorded_and_played(shell):
    mode = ("--mode", "punt-inject")
    frames = [bytes(range(60)), b"\x45" * 20]
    record = shell.folder / "record.pcapng"
    with Interface(shell.socket, role="master", mode="punt-inject") as ours:
        for words in (("-c", 2), ("-c", 2, "-w", record)):
            dump = shell.side("dump", *words, *mode)
            for frame in frames:
                ours.send(frame, TIMEOUT)
            assert dump.wait() == 0
            if "-w" not in words:
                assert [line.split()[1:] for line in dump.rest().splitlines()] == [
                    ["length", "60"],
                    ["length", "20"],
                ]
        with record.open("rb") as file:
            assert {found.link_type for found in pcapng.read(file)} == {pcapng.USER0}
        assert capture(record) == frames
        play = shell.side("play", record, *mode)
        assert [ours.recv(TIMEOUT), ours.recv(TIMEOUT)] == frames
        assert play.wait() == 0
    result = shell.run("play", record, "-S", shell.socket, status=2)
    assert "try --mode punt-inject" in " ".join(result.stderr.split())
    ethernet = write_capture(shell.folder / "ethernet.pcap", [bytes(60)])
    result = shell.run("play", ethernet, "-S", shell.socket, *mode, status=2)
    assert "try --mode ethernet" in " ".join(result.stderr.split())


def test_a_bridge_joins_two_memifs_of_mode_punt_inject(shell):
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    bridge = shell.start("bridge", *paths, "--mode", "punt-inject")
    for path in paths:
        wait_until_listening(path)
    with (
        Interface(paths[0], mode="punt-inject") as left,
        Interface(paths[1], mode="punt-inject") as right,
    ):
        wait_for_words(bridge, "connected to", times=2)
        left.send(b"any", TIMEOUT)
        assert right.recv(TIMEOUT) == b"any"
    interrupt(bridge)
