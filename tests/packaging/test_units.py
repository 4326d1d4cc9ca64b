# SPDX-License-Identifier: Apache-2.0
"""The units for systemd: it understands them, and the commands need nothing that they forbid."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.builds import ROOT, SUPPORT, run
from support.memif_command import interrupt, namespace, wait_for_words
from support.programs import TIMEOUT, Program, wait_until_listening

from libmemif_py import Interface

UNITS = {
    name: Path(sys.prefix) / "lib" / "systemd" / "system" / f"memif-{name}@.service"
    for name in ("bridge", "relay")
}
SAME = 0.4  # an exposure differs so much between versions of systemd
PAGE = ROOT / "docs" / "howto" / "services.md"
each_unit = pytest.mark.parametrize("name", UNITS)


def service(name: str) -> dict[str, list[str]]:
    """The settings of its section [Service], each with all its lines."""
    found: dict[str, list[str]] = {}
    section = UNITS[name].read_text().partition("[Service]\n")[2].partition("\n[Install]")[0]
    for line in section.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@each_unit
def test_systemd_has_nothing_to_say_against_a_unit(name):
    result = run(["systemd-analyze", "verify", "--man=no", UNITS[name]])
    assert result.stdout + result.stderr == ""


@each_unit
def test_a_unit_is_as_closed_as_the_page_says(name):
    said = run(["systemd-analyze", "security", "--no-pager", "--offline=yes", UNITS[name]]).stdout
    exposure = re.search(r"Overall exposure level for .*: (\d+\.\d)", said)[1]
    shown = re.search(rf"\| `memif-{name}@\.service` \| (\d+\.\d) \|", PAGE.read_text())[1]
    assert float(exposure) <= float(shown) + SAME < 2.5


def allowed_calls(filters: list[str]) -> set[str]:
    """The system calls that lines of SystemCallFilter leave."""
    calls: set[str] = set()
    for line in filters:
        names = set().union(*map(calls_in, line.removeprefix("~").split()))
        calls = calls - names if line.startswith("~") else calls | names
    return calls


def calls_in(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    lines = run(["systemd-analyze", "syscall-filter", "--no-pager", name]).stdout.splitlines()[1:]
    words = [line.strip() for line in lines if not line.strip().startswith("#")]
    return set().union(*map(calls_in, filter(None, words)))


# What systemd does for MemoryDenyWriteExecute, where the kernel can; then the command.
DENYING = """
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def started(
    name: str, folder: Path, variables: dict[str, str], inside: Sequence[str] = ()
) -> Program:
    """As systemd does it, with the same system calls, families of sockets and capabilities.

    What else is closed is not. `inside` is what runs a command in a network namespace.
    """
    settings = service(name)
    (line,) = settings["ExecStart"]
    words: list[str] = []
    for word in shlex.split(line):
        one = re.fullmatch(r"\$\{(\w+)\}", word)
        some = re.fullmatch(r"\$(\w+)", word)
        words += [variables[one[1]]] if one else shlex.split(variables[some[1]]) if some else [word]
    calls = folder / "calls"
    calls.write_text("\n".join(sorted(allowed_calls(settings["SystemCallFilter"]))))
    others = settings["SystemCallErrorNumber"][0]
    wrapper = [sys.executable, SUPPORT / "filtered.py", "--allow", calls, "--others", others]
    wrapper += ["--families", ",".join(settings["RestrictAddressFamilies"][0].split())]
    denying = [sys.executable, "-c", DENYING]
    kept = settings["CapabilityBoundingSet"][0].lower().replace("cap_", "+").split()
    bounds = ["setpriv", f"--bounding-set={','.join(['-all', *kept])}"] if inside else []
    return Program([*inside, *bounds, *wrapper, *denying, *words], folder / "errors")


def test_a_relay_works_under_the_filter_of_its_unit(tmp_path):
    a, b = (str(tmp_path / name) for name in ("a.sock", "b.sock"))
    variables = {"A": a, "B": f"{b},id=7", "OPTIONS": "--wait 3"}
    with started("relay", tmp_path, variables) as relay:
        wait_until_listening(a)
        with Interface(b, role="master", id=7) as master, Interface(a) as slave:
            slave.send(b"packet", TIMEOUT)
            assert master.recv(TIMEOUT) == b"packet"
        interrupt(relay)


def test_a_bridge_works_under_the_filter_of_its_unit(tmp_path):
    a, b = (str(tmp_path / name) for name in ("a.sock", "b.sock"))
    variables = {"A": a, "B": b, "OPTIONS": ""}
    with started("bridge", tmp_path, variables) as bridge:
        for path in (a, b):
            wait_until_listening(path)
        with Interface(a) as left, Interface(b) as right:
            for ours in (left, right):
                ours.wait_connected(TIMEOUT)
            wait_for_words(bridge, "connected to", times=2)
            left.send(b"packet", TIMEOUT)
            assert right.recv(TIMEOUT) == b"packet"
        interrupt(bridge)


OF_THE_KERNEL = [
    "if:eth1",
    "tap:mt0",
    "tun:mt0",
    "vxlan:5,remote=10.1.0.2,dev=eth1",
    "vxlan:5,remote=fd01::2,local=fd01::1,dev=eth1",
]


@pytest.mark.parametrize("end", OF_THE_KERNEL)
def test_a_bridge_opens_devices_with_what_its_unit_leaves(tmp_path, end):
    mode = "ip" if end.startswith("tun:") else "ethernet"
    record = tmp_path / "record.pcapng"
    variables = {
        "A": f"{tmp_path}/a.sock",
        "B": end,
        "OPTIONS": f"--mode {mode} -w {record} -f icmp",
    }
    with namespace() as inside:
        run([*inside, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2"])
        run([*inside, "ip", "link", "set", "eth1", "up"])
        run([*inside, "ip", "addr", "add", "10.1.0.1/24", "dev", "eth1"])
        run([*inside, "ip", "addr", "add", "fd01::1/64", "dev", "eth1", "nodad"])
        with started("bridge", tmp_path, variables, inside) as bridge:
            wait_for_words(bridge, f"bridge between {tmp_path}/a.sock (id 0, master) and {end}")
            interrupt(bridge)
    assert record.stat().st_size > 0


def test_the_files_of_the_page_are_those_that_the_units_read():
    text = PAGE.read_text()
    for name in UNITS:
        (file,) = service(name)["EnvironmentFile"]
        assert re.search(re.escape(file).replace("%i", r"\w+"), text)
        (folder,) = service(name)["RuntimeDirectory"]
        assert re.search("/run/" + re.escape(folder).replace("%i", r"\w+"), text)


def test_a_unit_starts_again_and_takes_the_status_of_sigterm_for_success():
    for name in UNITS:
        assert service(name)["SuccessExitStatus"] == ["143"]
        assert service(name)["Restart"] == ["always"]
