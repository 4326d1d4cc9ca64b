# SPDX-License-Identifier: Apache-2.0
"""What commands say and do while there is no link."""

import math
import types

import click
import pytest
from support.memif_command import ADDRESS, OTHER, wait_for_words, write_capture
from support.programs import TIMEOUT, wait_until_listening

from libmemif_py import Interface, Timeout, errors
from libmemif_py.tools.waiting import Reporter, wait_option

COMMANDS = ["bench", "bridge", "dump", "ping", "play", "respond", "top"]
each_command = pytest.mark.parametrize("command", COMMANDS)
NOBODY = "connect: No such file or directory"


def words_of(shell, command: str, role: str = "slave") -> list:
    """The command on the socket, with a peer's interface id 0."""
    if command == "top":
        return ["top", f"{shell.socket},role={role}"]
    if command == "bridge":
        return ["bridge", f"{shell.socket},role={role}", f"{shell.folder}/other,role={OTHER[role]}"]
    own = {
        "bench": ["rxonly"],
        "ping": [ADDRESS],
        "play": [write_capture(shell.folder / "source.pcap", [bytes(60)])],
        "respond": [ADDRESS],
    }
    return [command, *own.get(command, []), "-S", shell.socket, "--role", role]


@each_command
def test_a_slave_says_why_there_is_no_link(shell, command):
    program = shell.start(*words_of(shell, command), "--wait", "forever")
    link = f"no link on {shell.socket} (id 0, slave) yet: "
    wait_for_words(program, f"{link}{NOBODY}\n")
    with Interface(shell.socket, role="master", id=5):
        wait_for_words(program, f"{link}disconnected by the peer: no interface with id 0\n")
    with Interface(shell.socket, role="master", secret="right"):  # noqa: S106
        wait_for_words(program, f"{link}disconnected by the peer: a secret is required\n")
    with Interface(shell.socket, role="master"):
        wait_for_words(program, "connected to libmemif_py")
    if command not in ("bench", "ping", "play"):  # those may end
        wait_for_words(program, f"{link}{NOBODY}\n", times=2)


class Attempts:
    """An interface that is closed after some attempts, which failed for these reasons."""

    def __init__(self, *reasons: str):
        self._reasons = list(reasons)

    def wait_connected(self, _seconds: float) -> None:
        if not self._reasons:
            raise errors.NoConnectionError("closed")
        raise Timeout("no link")

    def details(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(last_error=self._reasons.pop(0))


def test_a_reason_is_said_once_for_each_change():
    said = []
    Reporter(said.append, "it")._watch(Attempts("", "one", "one", "two", "two", "one"))
    assert said == [f"no link on it yet: {reason}" for reason in ("one", "two", "one")]


@each_command
def test_a_master_says_why_a_peer_is_refused(shell, command):
    program = shell.start(*words_of(shell, command, "master"), "--wait", "forever")
    wait_until_listening(shell.socket)
    link = f"no link on {shell.socket} (id 0, master) yet: "
    with Interface(shell.socket, id=5):
        wait_for_words(program, f"{link}a peer asked for interface id 5\n")
    with Interface(shell.socket, mode="ip"):
        wait_for_words(program, f"{link}mode ip, the interface is in mode ethernet\n")
    with Interface(shell.socket):
        wait_for_words(program, "connected to libmemif_py")


@each_command
def test_without_a_link_in_time_a_command_ends_with_1_and_the_last_reason(shell, command):
    result = shell.run(*words_of(shell, command), "--wait", 1, status=1)
    last = result.stderr.splitlines()[-1]
    advice = f"see `memif info {shell.socket}`"
    assert last == (
        f"memif: no link on {shell.socket} (id 0, slave) within 1 s: {NOBODY}; {advice}"
    )


@each_command
@pytest.mark.parametrize("role", ["slave", "master"])
def test_without_waiting_a_command_ends_with_1_unless_there_is_a_link(shell, command, role):
    result = shell.run(*words_of(shell, command, role), "--wait", 0, status=1)
    reason = NOBODY if role == "slave" else "no peer connected"
    assert f"memif: no link on {shell.socket} (id 0, {role}): {reason}; " in result.stderr


def test_without_waiting_a_slave_gets_the_link_that_is_to_be_had(shell):
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-c", 1, "--wait", 0)
        ours.send(bytes(60), TIMEOUT)
        assert dump.wait() == 0
    shell.side("respond", ADDRESS, role="master")
    shell.run("ping", ADDRESS, "-S", shell.socket, "-c", 1, "--wait", 0)


def test_play_without_waiting_still_waits_for_room(shell):
    source = write_capture(shell.folder / "source.pcap", [bytes(60)] * 5000)
    shell.start("dump", "-c", 5000, "-S", shell.socket, "--role", "master", "-w", "/dev/null")
    wait_until_listening(shell.socket)
    words = ("--ring-size", 16, "--wait", 0)
    assert shell.run("play", source, "-S", shell.socket, *words).stdout.startswith("5000 packets")


def test_dump_says_what_it_does_in_its_role(shell):
    slave = shell.start("dump", "-S", shell.socket)
    wait_for_words(slave, f"connecting to {shell.socket} (id 0, slave)\n")
    master = shell.start("dump", "-S", f"{shell.socket}2", "--role", "master")
    wait_for_words(master, f"listening on {shell.socket}2 (id 0, master)\n")


@pytest.mark.parametrize("command", ["bench", "ping", "play"])
def test_a_master_without_peers_says_what_it_waits_for(shell, command):
    program = shell.start(*words_of(shell, command, "master"))
    wait_for_words(program, f"listening on {shell.socket} (id 0, master)\n")


def test_top_shows_why_there_is_no_link(shell):
    assert NOBODY in shell.run("top", shell.socket, "-n", 1).stdout


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "never"])
def test_a_time_to_wait_is_checked(text):
    with pytest.raises(click.BadParameter, match=f"'{text}', expected seconds such as 2.5"):
        option_type().convert(text, None, None)


def test_a_time_to_wait_may_be_forever():
    assert option_type().convert("forever", None, None) == math.inf
    assert option_type().convert("0.5", None, None) == 0.5


def option_type() -> click.ParamType:
    (option,) = click.command()(wait_option(1)(lambda: None)).params
    return option.type
