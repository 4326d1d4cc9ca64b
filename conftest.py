# SPDX-License-Identifier: Apache-2.0
"""What all tests share; pytest reads this file first."""

import signal

import pytest

pytest_plugins = ["pytester", "support.c_collector", "outcomes"]


def pytest_configure() -> None:
    """Programs that tests start end at SIGINT, also when a shell runs the tests in the background.

    Such a shell has SIGINT ignored, which every program inherits.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of single tests."""
    parser.addoption(
        "--wakeup-rounds",
        type=int,
        default=200_000,
        help="how long test_wakeups.py tries to lose a wake-up; default %(default)s",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=16,
        help="how many connections each test of test_kills.py kills; default %(default)s",
    )
    parser.addoption(
        "--untrusted-messages",
        type=int,
        default=1000,
        help="with how many messages with descriptors an untrusted user floods each target in "
        "test_strange_fds.py; default %(default)s",
    )
    parser.addoption(
        "--all-errors",
        action="store_true",
        help="test_faults.py has each call fail with each of its errors, in place of one",
    )
    parser.addoption(
        "--all-steps",
        action="store_true",
        help="tests/fresh does too what other tests do, or another of its Debians",
    )
    parser.addoption(
        "--fuzz-seconds",
        type=int,
        help="how long test_fuzz.py runs each target; default: a short time, see there",
    )
    parser.addoption(
        "--fuzz-runs", type=int, help="how many inputs test_fuzz.py runs with each target instead"
    )
    parser.addoption(
        "--fuzz-fast",
        action="store_true",
        help="test_fuzz.py is guided by which code runs, not by how often: at least twice as fast",
    )
    parser.addoption(
        "--soak-minutes",
        type=float,
        default=60.0,
        help="how long soak.py runs, which no run does that does not name it; default %(default)s",
    )
