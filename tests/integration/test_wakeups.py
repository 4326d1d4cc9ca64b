# SPDX-License-Identifier: Apache-2.0
"""No wake-up is ever lost: c_tests/peers/pingpong.c plays until one is, or until the last round.

With `--wakeup-rounds=10000000` the games are long.
"""

import contextlib
import itertools
import re
from pathlib import Path

import pytest
from support.c_collector import build_directories
from support.programs import OTHER_ROLE, TIMEOUT, Launcher, Side, c_program

from libmemif_py import Interface
from libmemif_py.control import reactor

MASK_INT = 1
# Where the sender of a ring says that it fences, and how: native/core/layout.h.
SENDER, FENCES = 16, 1
SLOTS, HEADER, DESCRIPTOR = 1024, 128, 16

APIS = ("v1", "v4")
PAIRS = list(itertools.product(APIS, APIS))
# How many rounds fit into the time that a side is waited for.
LONGEST_GAME = 200_000
# Bursts in pieces, at odd moments, that fill a small ring again and again, while a side changes
# between interrupts and polling.
BURSTS = ("-m", 100, "-l", 5, "-d", 3_000, "-x", 5)
ROUNDS_PER_ROUND_OF_BURSTS = 40


class Games(Launcher):
    """Two sides of a game on one socket."""

    def __init__(self, folder: Path, build: Path):
        super().__init__(folder, build)
        self._build = build

    def side(self, api: str, role: str, *arguments: str | int, version: int) -> Side:
        command = [c_program(self._build, "pingpong", api), "-s", self.socket, "-r", role]
        environment = {"LIBMEMIF_PROTOCOL": str(version)}
        return Side([*command, *map(str, arguments)], self._errors(), environment)

    def play(self, apis: tuple[str, str], rounds: int, *arguments: str | int, version: int) -> None:
        for first in range(0, rounds, LONGEST_GAME):
            length = min(rounds - first, LONGEST_GAME)
            self.play_once(apis, length, *arguments, version=version)

    def play_once(
        self, apis: tuple[str, str], rounds: int, *arguments: str | int, version: int
    ) -> None:
        with contextlib.ExitStack() as stack:
            sides = [
                stack.enter_context(self.side(api, role, "-n", rounds, *arguments, version=version))
                for api, role in zip(apis, ("master", "slave"), strict=True)
            ]
            results = [self.result(side, sides) for side in sides]
            for side in sides:
                side.end()
        for result in results:
            assert result["rounds"] == rounds
            # It is a game of interrupts, not of polling alone.
            assert result["waits"] > rounds // 4

    @staticmethod
    def result(side: Side, sides: list[Side]) -> dict:
        try:
            return side.result()
        except AssertionError as error:
            for other in sides:
                other.end_input()
                other.wait()
                error.add_note(other.errors)
            raise


@pytest.fixture
def games(tmp_path, pytestconfig) -> Games:
    return Games(tmp_path, build_directories(pytestconfig)[0].path)


@pytest.fixture
def rounds(pytestconfig) -> int:
    return pytestconfig.getoption("wakeup_rounds")


versions = pytest.mark.parametrize("version", [256, 512])


@pytest.mark.parametrize("api", APIS)
@versions
def test_every_packet_wakes_its_receiver(games, rounds, api, version):
    games.play((api, api), rounds, version=version)


@pytest.mark.parametrize("api", APIS)
@versions
def test_every_packet_is_found_while_both_sides_change_their_rx_mode(games, rounds, api, version):
    games.play((api, api), rounds, "-x", 5, version=version)


@pytest.mark.parametrize("waits_for", ["efd", "callback"])
@pytest.mark.parametrize("apis", PAIRS, ids="-".join)
@versions
def test_no_burst_is_left_lying_whatever_the_rx_mode_was(games, rounds, apis, version, waits_for):
    rounds //= ROUNDS_PER_ROUND_OF_BURSTS
    games.play(apis, rounds, "-w", waits_for, *BURSTS, version=version)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("waits_for", ["efd", "callback"])
@versions
def test_the_game_finds_a_standstill(games, api, version, waits_for):
    arguments = ("-w", waits_for, "-p", 1)
    with (
        Interface(games.socket, role="master") as silent,
        games.side(api, "slave", *arguments, version=version) as side,
    ):
        silent.wait_connected(TIMEOUT)
        assert side.wait() == 1
    assert "now: wait for an interrupt" in side.errors
    # It does not poll; what else the flags say is in native/core/layout.h.
    flags = int(re.search(r"S2M: head 0, tail 0, flags (\d+)", side.errors)[1])
    assert flags & MASK_INT == 0
    assert "M2S: head" in side.errors
    assert "(ours to receive): eventfd" in side.errors
    assert side.errors.endswith("pingpong: no progress for 1 s\n")


def marks(interface: Interface) -> list[int]:
    """What the senders of both rings have written. The rings lie at the begin of the memory."""
    base, size = reactor.ffi.new("void **"), reactor.ffi.new("uint64_t *")
    assert not reactor.lib.mif_region_look(interface._endpoint.handle, 0, base, size)
    memory = reactor.ffi.buffer(base[0], size[0])
    rings = 0, HEADER + DESCRIPTOR * SLOTS
    return [int.from_bytes(memory[ring + SENDER : ring + SENDER + 4], "little") for ring in rings]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("role", ["master", "slave"])
def test_every_sender_says_that_it_fences(games, api, role):
    """So Python receivers may pause its signals (tests/unit/bursts/test_pauses.py)."""
    with (
        Interface(games.socket, role=OTHER_ROLE[role], retry_interval=0.1) as ours,
        games.side(api, role, version=512),
    ):
        ours.wait_connected(TIMEOUT)
        assert marks(ours) == [FENCES, FENCES]
