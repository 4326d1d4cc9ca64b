# SPDX-License-Identifier: Apache-2.0
"""What all subcommands do alike: go on after a peer left, end in peace, explain their usage."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.memif_command import ADDRESS, COMMANDS, interrupt, wait_for_words, write_capture
from support.programs import TIMEOUT, wait_until_listening

from libmemif_py import Interface
from libmemif_py.tools.cli import cli

# They have no other end, unless they are told. Without an answer ping ends with 1.
ENDED_BY_CTRL_C = {"dump": 0, "ping": 1, "top": 0}


@pytest.mark.parametrize("command", ["respond", "dump", "bridge", "play", "top"])
def test_a_command_goes_on_when_its_peer_comes_back_and_says_so(shell, command):
    source = write_capture(shell.folder / "source.pcap", [bytes(60)])
    slave = ("-S", shell.socket, "--role", "slave")
    program = shell.start(
        *{
            "respond": ("respond", ADDRESS, *slave),
            "dump": ("dump", *slave),
            "bridge": ("bridge", f"{shell.socket},role=slave", shell.folder / "b.sock"),
            "play": ("play", source, "--loop", 0, "--rate", 100, "--wait", TIMEOUT, *slave),
            "top": ("top", shell.socket, "--json", "-d", 0.05),
        }[command]
    )

    def top_shows(connected: bool) -> None:
        while command == "top" and json.loads(program.line())[0]["connected"] is not connected:
            pass

    for round_ in (1, 2):
        with Interface(shell.socket, role="master") as ours:
            ours.wait_connected(TIMEOUT)
            top_shows(True)
            if command == "play":
                assert ours.recv(TIMEOUT) == bytes(60)
            elif command == "dump":
                ours.send(bytes(60), TIMEOUT)
                assert program.line()
        top_shows(False)
        if command != "top":
            wait_for_words(program, "disconnected by the peer", times=round_)
    interrupt(program, 0 if command in ENDED_BY_CTRL_C else 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "words",
    [
        ("respond", ADDRESS), ("dump", "--role", "master"), ("bench", "rxonly", "--role", "master"),
        ("ping", ADDRESS, "--role", "master", "--wait", "forever"), ("bridge",), ("relay",),
        ("top",),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_every_command_ends_in_peace_while_it_waits(shell, words, number):
    if words[0] == "bridge":
        words = (*words, shell.socket, f"{shell.socket},id=1")
    elif words[0] == "relay":
        words = (*words, shell.socket, "nobody.sock")
    elif words[0] == "top":
        words = (*words, f"{shell.socket},role=master")
    else:
        words = (*words, "-S", shell.socket)
    program = shell.start(*words)
    wait_until_listening(shell.socket)
    program.send_signal(number)
    wanted = ENDED_BY_CTRL_C.get(words[0], 130) if number == signal.SIGINT else 143
    assert program.wait() == wanted
    assert "Traceback" not in program.errors
    assert not Path(shell.socket).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_examples(command):
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert f"memif {command} " in result.output
    assert "Exit status: " in result.output
    assert "\b" not in result.output


def test_help_of_the_whole_names_the_statuses_and_has_no_control_characters():
    output = CliRunner().invoke(cli, ["--help"]).output
    assert "130 after Ctrl+C, except" in " ".join(output.split())
    assert all(line.isprintable() for line in output.splitlines())


USAGE = {
    "nonsense": "unknown command 'nonsense', expected one of: bench, bridge",
    "ping": "Missing argument 'ADDR'",
    "ping 1.2.3": "'1.2.3', expected an IP address such as 192.168.1.2 or fd00::2",
    "ping fe80::1%eth0": "'fe80::1%eth0', expected an address without %eth0",
    "ping ff02::1": "'ff02::1', expected the address of one host",
    "ping -6 1.2.3.4": "'1.2.3.4' is an IPv4 address, expected IPv6",
    "ping 1.2.3.4 --from fd00::1": "'fd00::1' is an IPv6 address, expected IPv4",
    "ping name.invalid": "'name.invalid': ",
    "ping fd00::1 -s 65500": "-s 65500, expected at most 65473 over IPv6",
    "respond fd00::1 fd00::x": "'fd00::x', expected an IP address",
    "ping 1.2.3.4 --ring-size 1000": "'1000', expected a power of two from 1 to 16384",
    "ping 1.2.3.4 --mac 01:00:00:00:00:00": "'01:00:00:00:00:00', expected a MAC address",
    "ping 1.2.3.4 --queues 257": "257 is not in the range 1<=x<=256",
    "ping 1.2.3.4 --secret-file /nonexistent": "expected a file that can be read",
    "ping 1.2.3.4 --mode ip --mac 02:00:00:00:00:01": "--mac: packets have no MAC addresses",
    "ping 1.2.3.4 --mode ip --via 1.2.3.1": "--via: packets have no MAC addresses",
    "ping 1.2.3.4 --via fd00::1": "'fd00::1' is an IPv6 address, expected IPv4",
    "ping 1.2.3.4 --mode punt-inject": "expected ethernet or ip",
    "respond 1.2.3.4 -S a,mode=punt-inject": "expected ethernet or ip",
    "dump --socket-mode 8": "'8', expected octal digits such as 660",
    "dump --socket-mode 4755": "'4755', expected octal digits such as 660",
    "dump --role master --socket-group nosuchgroup": "socket_group 'nosuchgroup' is not known",
    "bridge a,socket-mode=rw b": "'a,socket-mode=rw', socket-mode: 'rw', expected octal digits",
    "dump --format pcap": "--format pcap is for a file: name one with -w",
    "dump -w /nonexistent/file": "expected a file that can be written",
    "play /nonexistent": "does not exist",
    "bridge a": "sides given: 1, expected two, A and B",
    "bridge a b -S c": "sides given: 3, expected two, A and B",
    "info a -S b": "'a' and -S 'b', expected one socket",
    "dump -S a,color=red": "'a,color=red' has 'color', expected one of: role, id",
    "bridge a a": "both sides are 'a', expected two",
    "bridge a tap:": "'tap:', expected tap:NAME with a name of 1 to 15 bytes",
    "bridge a tun:": "'tun:', expected tun:NAME with a name of 1 to 15 bytes",
    "bridge a tup:x": "'tup:x' begins with tup:, expected one of: tap:NAME, tun:NAME, if:NAME",
    "bridge a vxlan:16777216,remote=::1,dev=lo": "'16777216', expected a number from 0 to 16777215",
    "bridge a vxlan:x,remote=::1,dev=lo": "ID 'x', expected a number from 0 to 16777215",
    "bridge a vxlan:5,dev=lo": "has no remote, expected vxlan:ID,remote=HOST,dev=NAME",
    "bridge a vxlan:5,remote=::1": "has no dev, expected vxlan:ID,remote=HOST,dev=NAME",
    "bridge a vxlan:5,remote=1.2.3,dev=lo": "remote: '1.2.3', expected an IP address",
    "bridge a vxlan:5,remote=name.invalid,dev=lo": "remote: 'name.invalid': ",
    "bridge a vxlan:5,remote=::1,dev=lo,local=127.0.0.1": "local: '127.0.0.1' is an IPv4 address",
    "bridge a vxlan:5,remote=::1,dev=lo,port=0": "port: 0 is not in the range 1<=x<=65535",
    "bridge a vxlan:5,remote=::1,dev=lo,ttl=3": "has 'ttl', expected one of: remote, dev, port",
    "bridge a,mode=ip vxlan:5,remote=::1,dev=lo": "has ethernet packets, expected the same",
    "bridge a,id=x b": "'a,id=x', id: 'x' is not a valid integer",
    "bridge a,color=red b": "'a,color=red' has 'color', expected one of: role, id",
    "bench txonly --burst 0": "'0', expected numbers from 1 to 4096",
    "bench txonly --size 10": "'10', expected numbers from 24 to 65535",
    f"info {'x' * 5000}": "has 5000 bytes, expected 1 to 4095",
    f"dump -S {'x' * 5000}": "has 5000 bytes, expected 1 to 4095",
}


@pytest.mark.parametrize(("line", "said"), USAGE.items())
def test_wrong_usage_gets_the_value_and_what_was_expected(line, said):
    result = CliRunner().invoke(cli, line.split())
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_what_is_not_there_ends_with_1(shell):
    result = shell.run("info", "nothing", status=1)
    assert result.stderr == (
        "memif: nothing: there is no such socket: start the master first, or correct the path\n"
    )
    result = shell.run("dump", "-S", "nothing", "--wait", 0.1, status=1)
    assert "no link on nothing (id 0, slave) within 0.1 s" in result.stderr
    result = shell.run("dump", "-S", "no/folder", "--role", "master", status=1)
    assert result.stderr.startswith("memif: no/folder: no folder 'no', make it first")


ONE_WAY = {
    "respond": ("respond", ADDRESS),
    "dump": ("dump",),
    "bench": ("bench", "rxonly"),
    "ping": ("ping", ADDRESS),
    "play": ("play", "source.pcap", "--loop", 0),
    "top": ("top",),
    "bridge": ("bridge", "-S", "other.sock,role=master"),
}


@pytest.mark.parametrize("command", ONE_WAY)
def test_one_way_to_name_a_socket_works_in_every_command(shell, command):
    write_capture(shell.folder / "source.pcap", [bytes(60)])
    words = (*ONE_WAY[command], "-S", f"{shell.socket},role=slave,id=3,queues=2")
    with Interface(shell.socket, role="master", id=3, s2m_rings=2, m2s_rings=2) as ours:
        with contextlib.chdir(shell.folder):
            program = shell.start(*words)
        ours.wait_connected(TIMEOUT)
        assert len(ours.details().rx_rings) == 2
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 128 + signal.SIGTERM
    assert "Traceback" not in program.errors


def test_info_and_top_take_a_socket_in_every_way(shell):
    word = f"{shell.socket},id=3"
    ways = [(word,), ("-S", word), ("--socket", word)]
    with Interface(shell.socket, role="master", id=3):
        for way in ways:
            assert json.loads(shell.run("info", *way, "--json").stdout)["socket"] == shell.socket
            assert json.loads(shell.run("top", *way, "--json", "-n", 1, "-d", 0.05).stdout)
        named = {**os.environ, "MEMIF_SOCKET": word}
        for command in ("info", "top -n 1 -d 0.05"):
            assert shell.run(*command.split(), "--json", env=named).stdout


def numbers_in(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(one)


def test_json_has_no_digits_that_nobody_measured(shell):
    respond = shell.side("respond", ADDRESS, role="master")
    socket = ("-S", shell.socket, "--json")
    source = write_capture(shell.folder / "source.pcap", [bytes(60)] * 300)
    texts = [
        shell.run("ping", ADDRESS, *socket, "-c", 3, "-i", 0.01).stdout,
        shell.run("play", source, *socket).stdout,
        shell.run("bench", "txonly", *socket, "--seconds", 0.1).stdout,
        shell.run("top", shell.socket, "--json", "-n", 1, "-d", 0.05).stdout,
        shell.run("top", "--pid", respond.pid, "--json", "-n", 1, "-d", 0.05).stdout,
    ]
    interrupt(respond)
    for text in texts:
        found = list(numbers_in(json.loads(text)))
        assert found
        assert [float(f"{number:.6g}") for number in found] == found


def test_version_says_what_is_spoken(shell):
    output = shell.run("--version").stdout
    assert output.startswith("libmemif-py ")
    assert "1.0 (libmemif.so.0), 4.0 (libmemif4/libmemif.so)" in output
    assert "256 (1.0), 512 (2.0)" in output
