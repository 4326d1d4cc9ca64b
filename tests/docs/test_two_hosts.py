# SPDX-License-Identifier: Apache-2.0
"""The example of two hosts: it works, and whatever happens to it, nothing of it stays."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.programs import TIMEOUT, Program

SCRIPT = Path(__file__).parents[2] / "examples" / "two-hosts" / "two_hosts.py"
# It starts six programs that share what processors there are, and waits for each other's links.
PATIENCE = 4 * TIMEOUT


@pytest.fixture
def example(tmp_path):
    """Its start, which leaves nothing behind, or the test fails."""
    with running(tmp_path) as program:
        yield program


@contextlib.contextmanager
def running(folder: Path, path: str = os.environ["PATH"]) -> Iterator[Program]:
    """The example, with its files in `folder`."""
    command = [sys.executable, SCRIPT, "--packets", "2000"]
    files, interfaces = files_in(folder), cables()
    environment = {"TMPDIR": str(folder), "PATH": path}
    with Program(command, folder / "errors", environment) as program:
        try:
            yield program
            program.wait(PATIENCE)
        except BaseException:
            program.send_signal(signal.SIGTERM)  # to let it remove its hosts
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait()
            raise
    assert not program.left_processes_behind()
    assert files_in(folder) == files
    # Its cables never were outside of its namespaces.
    assert cables() <= interfaces


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "errors")


def cables() -> set[str]:
    return {name for name in os.listdir("/sys/class/net") if name == "veth0"}


def started(example: Program) -> tuple[list[str], list[int]]:
    """The names of its hosts and the pids of its programs, as it says them."""
    hosts = re.findall(r"two-hosts-\d+-[ab]", example.line())
    pids = [int(word) for word in example.line().split() if word.isdigit()]
    assert len(hosts) == 2
    assert len(pids) == 4
    assert set(hosts) <= namespaces()
    for pid in pids:
        os.kill(pid, 0)
    return hosts, pids


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines()}


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_until_gone(pids: list[int]) -> None:
    """There is no event for processes that are not ours."""
    end = time.monotonic() + TIMEOUT
    while any(map(is_running, pids)):
        assert time.monotonic() < end
        time.sleep(0.02)


def assert_all_gone(hosts: list[str], pids: list[int]) -> None:
    assert not set(hosts) & namespaces()
    assert [pid for pid in pids if is_running(pid)] == []


def lines_up_to(example: Program, start: str) -> list[str]:
    lines = [example.line()]
    while not lines[-1].startswith(start):
        lines.append(example.line())
    return lines


def test_every_ping_crosses_both_switches_and_nothing_is_left(example):
    hosts, pids = started(example)
    lines = lines_up_to(example, "testpmd, host b")
    assert example.wait(PATIENCE) == 0, example.errors

    text = "\n".join(lines)
    assert "connected to DPDK" in text
    assert "192.168.1.2 is at 02:fe:00:00:00:00" in text
    assert text.count("64 bytes from 192.168.1.2") == 5
    assert "5 packets transmitted, 5 received, 0% packet loss" in text
    assert "2,000 requests of 64 bytes, 2,000 answers" in text  # those that wait for answers
    for line in lines[-2:]:
        from_memif, to_cable, from_cable, to_memif, _ = map(int, numbers(line))
        # ARP, pings, and those 2,000 at least: nothing of it went another way.
        assert min(from_memif, to_cable, from_cable, to_memif) > 2_005
    assert_all_gone(hosts, pids)


def numbers(line: str) -> list[str]:
    return [word.replace(",", "") for word in line.split() if word.replace(",", "").isdigit()]


# Where it is interrupted: its output until then. The first is while testpmd is still starting.
MOMENTS = ["", "Python: connected", "PING", "at most"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_nothing(example, moment, number):
    hosts, pids = started(example)
    if moment:
        lines_up_to(example, moment)
    example.send_signal(number)
    assert example.wait(PATIENCE) == 128 + number, example.errors
    assert_all_gone(hosts, pids)


def test_a_signal_while_the_hosts_are_made_leaves_nothing(example):
    example.wait_until_it_catches(signal.SIGTERM)
    example.send_signal(signal.SIGTERM)
    assert example.wait(PATIENCE) == 128 + signal.SIGTERM, example.errors
    named = re.findall(r"two-hosts-\d+-[ab]", example.rest())
    assert not set(named) & namespaces()
    assert not any(f"-{example.pid}-" in name for name in namespaces())


def test_a_second_signal_does_not_cut_the_removal_short(example):
    hosts, pids = started(example)
    lines_up_to(example, "Python: connected")
    for _ in range(20):
        example.send_signal(signal.SIGINT)
    assert example.wait(PATIENCE) == 128 + signal.SIGINT, example.errors
    assert_all_gone(hosts, pids)


@pytest.mark.parametrize("dying", range(4), ids=["testpmd a", "testpmd b", "C", "Python"])
def test_a_program_that_dies_is_named_and_nothing_is_left(example, dying):
    names = [f"testpmd of {{}}-{side}" for side in "ab"] + ["icmp_responder", "pings.py"]
    hosts, pids = started(example)
    lines_up_to(example, "Python: connected")
    os.kill(pids[dying], signal.SIGKILL)
    assert example.wait(PATIENCE) == 1
    name = names[dying].format(hosts[0].removesuffix("-a"))
    assert f"{name} ended with status -9" in example.errors
    assert_all_gone(hosts, pids)


def test_what_it_started_ends_also_when_it_is_killed(example, tmp_path):
    hosts, pids = started(example)
    try:
        lines_up_to(example, "Python: connected")
        example.send_signal(signal.SIGKILL)
        assert example.wait(PATIENCE) == -signal.SIGKILL
        wait_until_gone(pids)
    finally:
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)
        # What a killed program cannot remove; the page names the commands.
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host], check=True)
    [folder] = tmp_path.glob("two-hosts-*")
    shutil.rmtree(folder)


@pytest.mark.parametrize("step", ["add two-hosts-.*-b", "link add", "link set"])
def test_a_step_that_fails_is_said_and_nothing_is_left(tmp_path, step):
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "ip"
    tool.write_text(
        f'#!/bin/sh\necho "$*" | grep -q "{step}" || exec {shutil.which("ip")} "$@"\n'
        'echo "Not today" >&2; exit 2\n'
    )
    tool.chmod(0o755)
    with running(tmp_path, f"{tools}:{os.environ['PATH']}") as example:
        assert example.wait(PATIENCE) == 1
    assert "ended with status 2: Not today" in example.errors
    assert not any(f"-{example.pid}-" in name for name in namespaces())
