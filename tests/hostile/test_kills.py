# SPDX-License-Identifier: Apache-2.0
"""Whoever is killed takes nothing along: peers die by SIGKILL in every state of the handshake and
in the middle of traffic, and the other side goes on.

A survivor (c_tests/peers/echo.c, tests/support/echo.py) has a steady connection, over
which packets are sent back and checked all the while, and others, whose peers are killed.
Afterwards those connect again, and the survivor holds as many descriptors and mappings as before.
`--kills=1000` says how many die in each test.
"""

import itertools
import os
import signal

import pytest
from support.c_collector import build_directories
from support.programs import OTHER_ROLE, Program
from support.survivors import MOST_STEPS, SURVIVORS, SurvivorLauncher, wait_for_more

VERSIONS = (256, 512)


@pytest.fixture
def launcher(tmp_path, pytestconfig) -> SurvivorLauncher:
    return SurvivorLauncher(tmp_path, build_directories(pytestconfig)[0].path)


@pytest.fixture
def kills(pytestconfig) -> int:
    return pytestconfig.getoption("kills")


survivors = pytest.mark.parametrize("kind", SURVIVORS)
versions = pytest.mark.parametrize("version", VERSIONS)
roles = pytest.mark.parametrize("role", ["master", "slave"])


def kill_next(peers: Program) -> None:
    word, pid = peers.line().split()
    assert word == "stopped"
    os.kill(int(pid), signal.SIGKILL)
    assert peers.line() == f"gone {pid}"


@survivors
@versions
def test_a_master_outlives_slaves_that_die_in_their_handshake(launcher, kills, kind, version):
    with (
        launcher.survival(kind, "master", version, 2) as survivor,
        launcher.stopping_peers(version) as peers,
    ):
        held = survivor.settled_holdings()
        for steps in itertools.islice(itertools.cycle(range(MOST_STEPS)), max(kills, MOST_STEPS)):
            peers.write(f"slave 1 {steps}\n")
            kill_next(peers)
            # One interface has one peer: the next one comes when the last is forgotten.
            survivor.wait_until_holding(held)


# All connections of a master die with it, each in another state: a slave of 1.0 or Python comes
# back only after two seconds.
@survivors
@versions
def test_a_slave_outlives_masters_that_die_in_their_handshake(launcher, kills, kind, version):
    interfaces = MOST_STEPS + 1
    steps = " ".join(map(str, range(MOST_STEPS)))
    with (
        launcher.survival(kind, "slave", version, interfaces),
        launcher.stopping_peers(version) as peers,
    ):
        for _ in range(max(1, kills // MOST_STEPS)):
            peers.write(f"master {steps}\n")
            kill_next(peers)


@survivors
@versions
@roles
def test_it_outlives_peers_that_die_in_the_middle_of_traffic(launcher, kills, kind, version, role):
    with launcher.survival(kind, role, version, 2) as survivor:
        for _ in range(max(1, kills // 16)):
            before = survivor.echoed()[1]
            with launcher.asker(OTHER_ROLE[role], launcher.socket, 1, version) as peer:
                survivor.wait_for("up", "1")
                wait_for_more(survivor, 1, before)
                peer.send_signal(signal.SIGKILL)
                survivor.wait_for("down", "1")
