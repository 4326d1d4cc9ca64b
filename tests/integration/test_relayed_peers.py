# SPDX-License-Identifier: Apache-2.0
"""A relay between peers that are not ours: recorded ones, dpdk-testpmd, programs of other users."""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.access import NOBODY, SOMEBODY, heard_by, umask
from support.c_collector import build_directories
from support.control_traces import entries_of
from support.fakelink import CAPTURES
from support.memif_command import Shell, interrupt
from support.raw_peer import Listening, Slave
from support.relays import Relayed, RelayedPairs
from support.testpmd_peers import DEVICES, Peers, own_role

from libmemif_py import Interface

OTHER = {"slave": "master", "master": "slave"}
RECORDINGS = sorted(CAPTURES.glob("*.json"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user can look into, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="memif-relay-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    with contextlib.ExitStack() as stack:
        yield Shell(tmp_path, stack)


# ---- recorded ones


def made(described: dict) -> int:
    """A descriptor such as the recording had."""
    if described["kind"] == "eventfd":
        return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    fd = os.memfd_create("recorded", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, described["size"])
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, described["seals"])
    return fd


def identity(fd: int) -> tuple:
    """Of what is open there: eventfds share an inode, but each has a number of its own."""
    info = Path(f"/proc/self/fdinfo/{fd}").read_text()
    numbers = [line for line in info.splitlines() if line.startswith("eventfd-id")]
    return (*os.fstat(fd)[1:3], *numbers)


@pytest.fixture
def ends(shell) -> Iterator[dict[str, socket.socket]]:
    """A slave and a master without a library, and a relay between them."""
    with Listening(str(shell.folder / "b.sock")) as listening:
        relayed = Relayed(shell)
        with listening.accept() as knocked:
            assert "the slave behind the relay closed" in knocked.ending()
        with Slave(relayed.slaves) as slave, listening.accept() as master:
            yield {"slave": slave.socket, "master": master.socket}
        interrupt(relayed.program)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recorded_handshake_passes_byte_for_byte_with_its_descriptors(ends, path):
    for entry in json.loads(path.read_text()):
        sender = entry["from"]
        if "hex" not in entry:
            ends[sender].close()
            continue
        fds = [made(described) for described in entry["fds"]]
        data = bytes.fromhex(entry["hex"])
        socket.send_fds(ends[sender], [data], fds)
        came, received, _, _ = socket.recv_fds(ends[OTHER[sender]], 200, 4)
        assert came == data
        assert [identity(fd) for fd in received] == [identity(fd) for fd in fds]
        for fd in (*fds, *received):
            os.close(fd)


# ---- dpdk-testpmd


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("language", ["v1", "v4", "python"])
def test_packets_come_back_from_testpmd(shell, pytestconfig, device, language):
    build = build_directories(pytestconfig)[0].path
    folder = shell.folder / "traffic"
    folder.mkdir()
    relayed = Relayed(shell)
    peers = Peers(folder, build)
    peers.socket = relayed.masters if device == "server" else relayed.slaves
    options = ("-x", "-n", 5_000, "-N", 5_000, "-S", "jumbo", "-q", "2,2")

    def ours():
        return RelayedPairs(relayed, folder, build).traffic(language, own_role(device), *options)

    loop = ("--port-topology=loop", "--rxq=2", "--txq=2")
    with peers.in_order(device, ours, peers.testpmd(device, "io", *loop)) as (side, testpmd):
        testpmd.command("start")
        assert side.result()["received"] == [5_000] * 2
        testpmd.command("stop")
        side.end()
    relayed.says("DPDK")
    relayed.says("joined: id 0, protocol 512, 2+2 rings")


# ---- other users


@pytest.mark.parametrize(
    ("unsealed", "memory", "uid", "accepted"),
    [
        ("trusted", "sealed", SOMEBODY, True),
        ("trusted", "sealable", NOBODY, True),
        ("trusted", "unsealable", 0, True),
        ("trusted", "unsealable", SOMEBODY, False),
        ("trusted", "file", SOMEBODY, False),
        ("never", "unsealable", 0, False),
        ("always", "unsealable", SOMEBODY, True),
    ],
)
def test_memory_that_can_shrink_is_a_matter_of_trust_as_without_a_relay(
    folder, tmp_path, unsealed, memory, uid, accepted
):
    """Our master would take all of it from the relay, which is its own user."""
    with contextlib.ExitStack() as stack:
        with umask(0o111):  # others may connect
            relayed = Relayed(Shell(folder, stack), "--unsealed", unsealed)
        with Interface(relayed.masters, role="master", unsealed="always"):
            heard = heard_by(tmp_path, uid, Path(relayed.slaves), memory)
        reason = f"region can shrink, user {uid}, policy {unsealed}: expected a sealed memfd"
        assert heard == ("connected" if accepted else reason)
        interrupt(relayed.program)


def test_messages_of_an_untrusted_slave_are_in_a_trace(folder, tmp_path):
    with contextlib.ExitStack() as stack:
        with umask(0o111):
            relayed = Relayed(Shell(folder, stack), "--control-trace", folder / "trace")
        with Interface(relayed.masters, role="master"):
            assert heard_by(tmp_path, SOMEBODY, Path(relayed.slaves)) == "connected"
            relayed.says("the slave closed the connection")
        interrupt(relayed.program)
        fds = [entry.fds for entry in entries_of(folder / "trace") if entry.message]
        assert [number for number in fds if number] == [1] * 6
