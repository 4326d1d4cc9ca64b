# SPDX-License-Identifier: Apache-2.0
"""A secret is known to both ends and to nobody else: it shows in no output, repr or traceback."""

import subprocess
import sys
import traceback

import pytest
from support import builds
from support.c_collector import build_directories
from support.programs import Program, c_program, wait_until_listening

from libmemif_py import Interface, errors
from libmemif_py.control import handshake, wire
from libmemif_py.control.endpoint import Settings

RIGHT, WRONG = "swordfish-twenty-4-bytes", "wrong-word"
DEBUG = {"LIBMEMIF_DEBUG": "1"}
LANGUAGES = ["v1", "v4", "python"]


@pytest.fixture
def traffic(tmp_path, pytestconfig):
    """Starts a traffic program with debug lines on; its output is collected."""
    build = build_directories(pytestconfig)[0].path
    commands = {
        "v1": [c_program(build, "traffic", "v1")],
        "v4": [c_program(build, "traffic", "v4")],
        "python": [sys.executable, builds.SUPPORT / "traffic.py"],
    }

    def start(language: str, role: str, secret: str, *arguments: str) -> Program:
        command = [*commands[language], "-s", tmp_path / "socket", "-r", role, "-k", secret]
        return Program([*command, *arguments], tmp_path / f"errors-{role}-{secret}", DEBUG)

    return start


@pytest.mark.parametrize("slave_language", LANGUAGES)
@pytest.mark.parametrize("master_language", LANGUAGES)
def test_no_output_shows_a_secret(traffic, tmp_path, master_language, slave_language):
    with traffic(master_language, "master", RIGHT) as master:
        assert master.line() == "ready"
        wait_until_listening(str(tmp_path / "socket"))
        with traffic(slave_language, "slave", WRONG) as slave:
            wait_for_output(slave, "incorrect secret")
        with traffic(slave_language, "slave", RIGHT) as slave:
            wait_for_output(slave, "connected, protocol version")
            slave.end_input()
            slave.wait()
        wait_for_output(master, "connected, protocol version")
        master.end_input()
        master.wait()
        outputs = [master.rest(), *(p.read_text() for p in tmp_path.glob("errors-*"))]
    assert len(outputs) == 4
    for output in outputs:
        assert RIGHT not in output
        assert WRONG not in output


def wait_for_output(program: Program, text: str) -> None:
    """There is no event to wait for: look until it is there."""
    for _ in range(6000):
        if text in program.errors:
            return
        try:
            program.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        break
    assert text in program.errors


EVERYTHING = """
import gc, sys
from libmemif_py import Interface

path, right, wrong = sys.argv[1:]
seen, classes = 0, set()

def look():
    global seen
    for thing in gc.get_objects():
        if type(thing).__module__.startswith("libmemif_py"):
            seen += 1
            classes.add(type(thing).__name__)
            for shown in (repr(thing), str(thing), f"{thing}"):
                assert right not in shown and wrong not in shown, shown

def seen_up(interface):
    look()

with Interface(path, role="master", secret=right, on_connect=seen_up, allow=lambda p: True) as m:
    with Interface(path, secret=wrong) as refused:
        while "secret" not in refused.details().last_error:
            pass
        look()
        print(repr(refused.details()), repr(m.details()))
    with Interface(path, secret=right, on_connect=seen_up) as slave:
        m.wait_connected(60)
        slave.wait_connected(60)
        look()
        print(slave, m, slave.details(), m.details(), slave.peer, m.peer)
print("seen", *sorted(classes))
"""


def test_no_object_of_ours_shows_a_secret(tmp_path, tmp_path_factory):
    """Whatever is alive in the middle of connections, refused and made."""
    installed = builds.release(tmp_path_factory)
    command = [sys.executable, "-c", EVERYTHING, tmp_path / "socket", RIGHT, WRONG]
    variables = {"PYTHONPATH": str(installed.package.parent), **DEBUG}
    result = builds.run(command, env=variables, cwd=tmp_path)
    seen = result.stdout.splitlines()[-1].split()
    assert {"Settings", "Endpoint", "MasterLink", "SlaveLink", "MasterHandshake"} <= set(seen)
    assert {"Hub", "Listener", "Interface", "SlaveHandshake"} <= set(seen)
    for word in (RIGHT, WRONG):
        assert word not in result.stdout + result.stderr


def values_with_a_secret() -> list[object]:
    """One of everything that is made of a secret."""
    secret = RIGHT.encode()
    init = wire.Init(wire.VERSION_2, 0, 0, secret, b"name")
    settings = Settings(secret=secret)
    machine = handshake.SlaveHandshake(settings)
    hello = wire.encode(wire.Hello(b"", 256, 512, 255, 255, 255, 14), wire.VERSION_2)
    return [
        *(init, settings, machine),
        wire.decode(wire.encode(init, wire.VERSION_2), wire.VERSION_2),
        *machine.receive(hello),
        *machine.offer([(1, 3)], [(0, 0, 4)], [(0, 0, 5)]),
    ]


@pytest.mark.parametrize("value", values_with_a_secret(), ids=lambda value: type(value).__name__)
def test_no_value_shows_the_secret_that_it_holds(value):
    assert RIGHT not in repr(value) + str(value) + f"{value}"


@pytest.mark.parametrize(
    "secret",
    [RIGHT + "-and-more", RIGHT.encode() + b"-and-more", RIGHT[:20] + "\udc80", [RIGHT], 5, []],
    ids=["too long", "too long, bytes", "not UTF-8", "a list", "a number", "no list"],
)
def test_no_traceback_shows_a_secret_that_was_refused(tmp_path, secret):
    with pytest.raises((errors.ArgumentError, TypeError)) as caught:
        Interface(tmp_path / "socket", secret=secret)
    shown = "".join(traceback.format_exception(caught.value))
    chain = [caught.value]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    for word in (shown, *map(repr, chain)):
        assert RIGHT[:20] not in word


def test_a_message_that_cannot_be_sent_keeps_its_secret():
    init = wire.Init(1 << 16, 0, 0, RIGHT.encode(), b"name")
    with pytest.raises(wire.WireError) as caught:
        wire.encode(init, wire.VERSION_2)
    assert RIGHT not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("place", range(wire.SECRET_SIZE))
def test_a_secret_that_differs_in_one_place_is_another(place):
    right = bytes(range(1, wire.SECRET_SIZE + 1))
    wrong = right[:place] + b"\xff" + right[place + 1 :]
    assert wire.secrets_equal(right, right)
    assert not wire.secrets_equal(right, wrong)
    assert not wire.secrets_equal(right, right[:place])


def test_the_whole_field_is_compared_at_once_whatever_is_in_it(monkeypatch):
    """By a function that is made for it, with arguments that do not depend on the secrets."""
    compared = []
    compare = wire._compare_digest

    def watched(one, other):
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(wire, "_compare_digest", watched)
    for one in (b"", b"a", b"\0junk", RIGHT.encode(), b"x" * wire.SECRET_SIZE):
        wire.secrets_equal(one, RIGHT.encode())
    assert compared == [(wire.SECRET_SIZE, wire.SECRET_SIZE)] * 5


@pytest.mark.parametrize("role", ["master", "slave"])
def test_an_interface_does_not_show_its_secret(tmp_path, role):
    with Interface(tmp_path / "socket", role=role, secret=RIGHT) as interface:
        for thing in (interface, interface.details(), interface.peer, interface._endpoint.settings):
            assert RIGHT not in repr(thing) + str(thing)
