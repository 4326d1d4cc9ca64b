# SPDX-License-Identifier: Apache-2.0
"""Programs that say of their packets what is not so, and go on: c_tests/peers/stubborn_*.c."""

import pytest
from support.c_collector import build_directories
from support.programs import OTHER_ROLE, TIMEOUT, Program, c_program, wait_until_listening
from support.watching import interfaces

from libmemif_py import Interface

LENGTHS = (98, 2100, 98, 4050, 98)
# What comes back through buffers of 2,048 bytes: 1.0 cuts what is too long, 4.0 refuses it.
ANSWERS = {"v1": (98, 2048, 98, 2048, 98), "v4": (98, 98, 98)}
# Of a round. What is refused is tried once again.
REFUSALS = {"v1": 0, "v4": 4}
# More refusals than a ring of 1,024 slots could bear if each took one away.
ROUNDS = 600


def packet(number: int, length: int) -> bytes:
    return bytes((number + i) % 251 for i in range(length))


def round_of(number: int) -> list[bytes]:
    return [packet(number + i, length) for i, length in enumerate(LENGTHS)]


def expected(number: int, api: str) -> list[bytes]:
    """The answers to a round."""
    if api == "v1":
        return [packet[:2048] for packet in round_of(number)]
    return [packet for packet in round_of(number) if len(packet) <= 2048]


@pytest.mark.parametrize("version", [256, 512])
@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("api", ANSWERS)
def test_a_program_that_sends_too_long_packets_goes_on(pytestconfig, tmp_path, api, role, version):
    path = str(tmp_path / "socket")
    build = next(build for build in build_directories(pytestconfig) if not build.label).path

    command = [c_program(build, "stubborn", api), path, role]
    with Program(command, tmp_path / "errors") as program:
        if role == "master":
            wait_until_listening(path)
        with Interface(path, role=OTHER_ROLE[role], version=version) as interface:
            for number in range(ROUNDS):
                interface.send_burst(round_of(number), TIMEOUT)
                answers = [interface.recv(TIMEOUT) for _ in ANSWERS[api]]
                assert tuple(map(len, answers)) == ANSWERS[api]
                assert answers == expected(number, api)
            (shown,) = interfaces(program.pid)
            assert shown.tx[0].refused == REFUSALS[api] * ROUNDS
        assert program.errors == ""
