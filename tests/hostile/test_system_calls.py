# SPDX-License-Identifier: Apache-2.0
"""The system calls that docs/howto/containers.md lists, and what becomes of each that is denied.

The third column of its table begins with what happens without a call: "works", "untrusted peers are
refused" or "fails".
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import builds
from support.attack import Target, untrusted_user_of
from support.builds import APIS, ROOT, SUPPORT, TESTS, Installed, environment, run
from support.c_collector import build_directories
from support.filtered import names_in

from libmemif_py.control import system

PAGE = (ROOT / "docs" / "howto" / "containers.md").read_text()
ROWS = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) \| (.*?) \|$", PAGE, re.M)
STARTING = set(
    re.findall(r"`([a-z0-9]+)`", re.search(r"with glibc this .*?\.", PAGE, re.S).group())
)
TABLE = {name: (use, without) for names, use, without in ROWS for name in re.findall(r"\w+", names)}
KINDS = ["v1", "v4", "python"]
ERRORS = ["EPERM", "ENOSYS"]
EXCHANGES = 200  # more than requests may go unanswered
FILTERS = Path(__file__).parent / "filters"
FILTERED = [sys.executable, SUPPORT / "filtered.py"]
STRACE = ["strace", "-f", "-qq", "-e", "signal=none", "-o"]
PLAIN_PYTHON = "import threading; t = threading.Thread(target=print); t.start(); t.join()"

each_kind = pytest.mark.parametrize("kind", KINDS)


def without(word: str) -> list[str]:
    return [name for name, (_, what) in TABLE.items() if what.startswith(word)]


@pytest.fixture(scope="module")
def two_ends(faults):
    """The command that has two ends of a kind connect once; see tests/programs/faults.c."""
    commands = {api.name: [faults(api)] for api in APIS}
    commands["python"] = [sys.executable, builds.PROGRAMS / "faults.py"]
    return commands.__getitem__


class Once:
    """One run of it under a wrapper. What it said is all of its error texts."""

    def __init__(
        self,
        installed: Installed,
        command: Sequence[str | Path],
        socket: Path,
        wrapper: Sequence[str | Path],
        name: str = "",
    ):
        variables = {"PYTHONPATH": str(installed.package.parent), "LIBMEMIF_DEBUG": "1"}
        # A C program starts anew under the same variables: it ignores those of Python.
        result = run(
            [*wrapper, *command, socket, "once", *([name] if "python" in str(command[0]) else [])],
            env=environment(**variables),
            timeout=120,
        )
        _, code, self.text, self.state = result.stdout.strip().split("|")
        self.works = (code, self.state) == ("0", "up")
        self.said = self.text + result.stderr


def called(trace: Path) -> set[str]:
    return set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))


def live(kind: str, folder: Path, config: pytest.Config, wrapper: Sequence[str | Path]) -> str:
    """A target with all its peers: of both versions, in both roles, untrusted users that are honest
    and others. What it said."""
    with Target(kind, folder, config, wrapper) as target:
        with untrusted_user_of(target, folder / "untrusted") as untrusted:
            assert untrusted.order("exchange", EXCHANGES) == "exchanged"
            target.settle()  # requests of the kernel's, once for all
            for state in ("unnamed", "named"):
                untrusted.order("attack", state, "fuse", 1)
                target.check()
                target.good_slave()
        target.good_master()
        target.end_in_peace()
        return target.program.errors


# ---- the list ----


def test_the_table_has_the_calls_that_are_made_and_no_others(
    installed, two_ends, tmp_path, pytestconfig
):
    made = set()
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        live(kind, folder, pytestconfig, [STRACE[0], "-D", *STRACE[1:], folder / "live"])
        Once(installed, two_ends(kind), folder / "socket", [*STRACE, folder / "once"])
        made |= called(folder / "live") | called(folder / "once")
    run([*STRACE, tmp_path / "plain", sys.executable, "-I", "-c", PLAIN_PYTHON])
    plain = called(tmp_path / "plain") | STARTING
    assert made - plain - set(TABLE) == set()
    assert {n for n in TABLE if not TABLE[n][0].startswith("sometimes")} - made == set()


@pytest.mark.parametrize("filter", ["docker-default", "systemd-system-service"])
def test_the_page_says_right_that_usual_filters_admit_the_table(filter):
    assert set(TABLE) - set(names_in(str(FILTERS / f"{filter}.txt"))) == set()


@pytest.mark.parametrize("module", ["channel", "hub", "link", "regions", "socket_path", "trust"])
def test_the_control_plane_makes_system_calls_by_their_names(module):
    source = (ROOT / "libmemif_py/control" / f"{module}.py").read_text()
    named = [name for name in vars(system) if name.islower() and hasattr(os, name)]
    assert len(named) > 10
    raw = re.findall(rf"\bos\.(?:{'|'.join(named)})\(|\bfcntl\.fcntl\(|_socket\.socket\(", source)
    assert raw == []


# ---- usual filters ----


@each_kind
def test_all_works_under_the_default_profile_of_docker(kind, tmp_path, pytestconfig):
    names = FILTERS / "docker-default.txt"
    wrapper = [*FILTERED, "--deny", "clone3:ENOSYS", "--allow", names, "--others", "EPERM"]
    live(kind, tmp_path, pytestconfig, wrapper)


@each_kind
def test_all_works_under_system_service_which_kills_for_anything_else(kind, tmp_path, pytestconfig):
    names = FILTERS / "systemd-system-service.txt"
    live(kind, tmp_path, pytestconfig, [*FILTERED, "--allow", names, "--others", "kill"])


# ---- single calls ----


@each_kind
@pytest.mark.parametrize("name", TABLE)
def test_a_call_that_is_denied_is_done_without_or_named(installed, two_ends, tmp_path, kind, name):
    for error in ERRORS:
        wrapper = [*FILTERED, "--deny", f"{name}:{error}"]
        once = Once(installed, two_ends(kind), tmp_path / error, wrapper, name)
        assert "Traceback" not in once.said
        if name in without("fails"):
            assert once.works or re.search(rf"\b{name}\b.*: |\b{name} ", once.said), once.said
        else:
            assert once.works, once.said


@each_kind
@pytest.mark.parametrize("name", without("works"))
def test_untrusted_peers_notice_nothing_of_what_can_be_done_without(
    name, kind, tmp_path, pytestconfig
):
    for error in ERRORS:
        folder = tmp_path / error
        folder.mkdir()
        live(kind, folder, pytestconfig, [*FILTERED, "--deny", f"{name}:{error}"])


@each_kind
@pytest.mark.parametrize("names", [*without("untrusted peers"), "close_range,unshare"])
def test_untrusted_peers_are_refused_with_the_name_of_what_is_lacking(
    names, kind, tmp_path, pytestconfig
):
    wrapper = [*FILTERED, "--deny", f"{names}:EPERM"]
    with (
        Target(kind, tmp_path, pytestconfig, wrapper) as target,
        untrusted_user_of(target, tmp_path / "untrusted") as untrusted,
    ):
        # Of a message that is not taken the kernel tells by a reset, often first.
        assert untrusted.order("attack", "named", "memfd", 1) in ("DISCONNECT", "reset")
        target.flow.check()
        target.good_slave()
        for name in names.split(","):
            assert target.said(name)
        target.end_in_peace()


# ---- eventfds ----


def hostile(case: str, denied: str, config: pytest.Config, **expected: str) -> None:
    (build,) = [build for build in build_directories(config) if build.label == ""]
    wrapper = [*FILTERED, "--deny", denied]
    program = build.path / "c_tests" / "hostile" / "test_eventfds_v1"
    run([*wrapper, program], env=environment(CK_RUN_CASE=case, **expected), timeout=120)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "names",
    ["preadv2", "io_setup", "io_submit", "preadv2,poll", "preadv2,io_setup", "preadv2,io_submit"],
)
def test_no_untrusted_peer_holds_a_burst_up_by_an_eventfd(names, error, pytestconfig):
    hostile("an_eventfd_that_blocks_holds_no_stranger_up", f"{names}:{error}", pytestconfig)


@pytest.mark.parametrize(
    "case",
    [
        "a_sender_that_is_held_up_is_let_go_at_the_end",
        "a_receiver_that_is_held_up_is_let_go_at_the_end",
    ],
)
def test_without_anything_that_does_not_wait_the_end_of_a_connection_still_comes(
    case, pytestconfig
):
    hostile(case, "preadv2,io_setup:EPERM", pytestconfig)


@pytest.mark.parametrize(
    ("names", "held_up"),
    [("preadv2", "no"), ("io_setup", "yes"), ("io_submit", "yes"), ("preadv2,io_setup", "yes")],
)
def test_without_requests_an_untrusted_peer_can_hold_a_sender_up(names, held_up, pytestconfig):
    case = "a_sender_to_a_stranger_is_let_go_at_the_end"
    hostile(case, f"{names}:EPERM", pytestconfig, HELD_UP=held_up)


@pytest.mark.parametrize(
    ("names", "held_up"),
    [("preadv2", "no"), ("io_setup", "no"), ("io_submit", "no"), ("preadv2,io_submit", "yes")],
)
def test_a_receiver_waits_only_without_preadv2_and_requests(names, held_up, pytestconfig):
    case = "a_receiver_that_is_held_up_is_let_go_at_the_end"
    hostile(case, f"{names}:EPERM", pytestconfig, HELD_UP=held_up)


FILTER_COMES_LATER = """
import sys
from support.filtered import denied, install
from libmemif_py import Interface, Timeout

with Interface(sys.argv[1], role="master") as master, Interface(sys.argv[1]) as slave:
    slave.wait_connected(60)
    install(denied(sys.argv[2:]))
    for _ in range(3):
        for sender, receiver in ((master, slave), (slave, master)):
            for mode in ("polling", "interrupt"):
                receiver.set_rx_mode(mode)
                sender.send(b"packet", 60)
                assert receiver.recv(60) == b"packet"
            try:
                receiver.recv(0)
            except Timeout:
                continue
            sys.exit("a packet too many")
"""


@pytest.mark.parametrize("names", ["preadv2", "preadv2,io_submit", "membarrier", "io_setup"])
def test_a_filter_may_come_while_packets_flow(names, tmp_path):
    script = tmp_path / "later.py"
    script.write_text(FILTER_COMES_LATER)
    variables = {"PYTHONPATH": str(TESTS)}
    run(
        [sys.executable, "-P", script, tmp_path / "socket", f"{names}:EPERM"],
        env=environment(**variables),
    )
