# SPDX-License-Identifier: Apache-2.0
"""The deadlines of a hub: who is called, and for when the one timer is set."""

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from libmemif_py import errors
from libmemif_py.control import reactor
from libmemif_py.control.native import Native
from libmemif_py.control.timer import Deadlines

HOUR = 3600.0


class Owner:
    def __init__(self, then=lambda: None):
        self.calls = 0
        self._then = then

    def timed_out(self):
        self.calls += 1
        self._then()


@pytest.fixture
def deadlines():
    made = Deadlines(reactor.native)
    number = made.fileno()
    yield made
    made.detach()
    os.close(number)


def remaining(timer: int) -> float:
    """Seconds until a timer fires, or 0 if it is off."""
    text = Path(f"/proc/self/fdinfo/{timer}").read_text()
    seconds, nanoseconds = re.search(r"^it_value: \((\d+), (\d+)\)$", text, re.M).groups()
    return int(seconds) + int(nanoseconds) / 1e9


def fires(timer: int, seconds: float = 60.0) -> bool:
    return bool(select.select([timer], [], [], seconds)[0])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_timer_is_set_for_the_earliest_in_whatever_order_they_come(deadlines, order):
    times = (HOUR, 10 * HOUR)
    for place in order:
        deadlines.set(Owner(), times[place])
    assert HOUR - 60 < remaining(deadlines.fileno()) <= HOUR


def test_what_is_due_is_called_once_and_the_rest_is_waited_for(deadlines):
    now, later = Owner(), Owner()
    deadlines.set(later, HOUR)
    deadlines.set(now, 0)
    assert fires(deadlines.fileno())
    deadlines.on_ready(0)
    assert (now.calls, later.calls, len(deadlines)) == (1, 0, 1)
    assert HOUR - 60 < remaining(deadlines.fileno()) <= HOUR
    assert not fires(deadlines.fileno(), 0)
    deadlines.on_ready(0)  # as the timer of a program that polls itself may be late
    assert (now.calls, later.calls) == (1, 0)


def test_a_new_time_replaces_that_of_the_same_owner(deadlines):
    owner = Owner()
    deadlines.set(owner, 0)
    deadlines.set(owner, HOUR)
    assert fires(deadlines.fileno())
    deadlines.on_ready(0)
    assert (owner.calls, len(deadlines)) == (0, 1)


def test_with_nothing_to_wait_for_the_timer_is_off(deadlines):
    first, second = Owner(), Owner()
    deadlines.set(first, HOUR)
    deadlines.set(second, HOUR)
    deadlines.cancel(first)
    assert remaining(deadlines.fileno()) > 0
    deadlines.cancel(second)
    assert remaining(deadlines.fileno()) == 0
    assert not fires(deadlines.fileno(), 0)
    deadlines.cancel(second)
    deadlines.set(first, HOUR)
    assert remaining(deadlines.fileno()) > 0


def test_who_was_cancelled_by_another_that_is_due_is_not_called(deadlines):
    late = Owner()
    deadlines.set(Owner(lambda: deadlines.cancel(late)), 0)
    deadlines.set(late, 0)
    deadlines.on_ready(0)
    assert (late.calls, len(deadlines)) == (0, 0)


def test_who_is_set_again_by_another_that_is_due_waits(deadlines):
    late = Owner()
    deadlines.set(Owner(lambda: deadlines.set(late, HOUR)), 0)
    deadlines.set(late, 0)
    deadlines.on_ready(0)
    assert (late.calls, len(deadlines)) == (0, 1)


def test_an_owner_that_fails_keeps_no_other_waiting(deadlines):
    other = Owner()
    deadlines.set(Owner(lambda: 1 / 0), 0)
    deadlines.set(other, 0)
    with pytest.raises(ZeroDivisionError):
        deadlines.on_ready(0)
    assert (other.calls, len(deadlines)) == (0, 1)
    assert fires(deadlines.fileno())
    deadlines.on_ready(0)
    assert (other.calls, len(deadlines)) == (1, 0)


class NoTimer:
    """A core whose timer cannot be set, for a while."""

    fails = True

    def __getattr__(self, name):
        if name == "mif_timer_arm" and self.fails:
            return lambda *_: reactor.native.codes["NOMEM"]
        return getattr(reactor.lib, name)


def test_a_timer_that_could_not_be_set_is_set_with_the_next_deadline():
    lib = NoTimer()
    deadlines = Deadlines(Native(reactor.ffi, lib, b"test"))
    with pytest.raises(errors.NoMemoryError, match="timer"):
        deadlines.set(Owner(), HOUR)
    assert len(deadlines) == 1
    lib.fails = False
    deadlines.set(Owner(), 2 * HOUR)
    timer = deadlines.detach()
    assert HOUR - 60 < remaining(timer) <= HOUR
    os.close(timer)


def test_a_forked_child_forgets_them_and_leaves_the_timer_to_its_parent(deadlines):
    deadlines.set(Owner(), HOUR)
    deadlines.clear()
    assert len(deadlines) == 0
    assert remaining(deadlines.fileno()) > 0


def test_a_timer_is_given_away_once(deadlines):
    timer = deadlines.fileno()
    deadlines.set(Owner(), HOUR)
    assert (deadlines.detach(), deadlines.detach(), deadlines.fileno()) == (timer, -1, -1)
    deadlines.set(Owner(), 0)
    assert HOUR - 60 < remaining(timer) <= HOUR  # it is not ours any more


WITHOUT_STDIN = """
import select
from libmemif_py.control import reactor
from libmemif_py.control.timer import Deadlines

class Owner:
    def timed_out(self):
        print("called")

deadlines = Deadlines(reactor.native)
print(deadlines.fileno())
deadlines.set(Owner(), 0)
print(len(select.select([deadlines.fileno()], [], [], 10)[0]))
deadlines.on_ready(0)
"""


def test_the_timer_of_a_program_without_stdin_works_too():
    command = ["sh", "-c", 'exec "$0" -P -c "$1" <&-', sys.executable, WITHOUT_STDIN]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout.split(), result.stderr) == (["0", "1", "called"], "")
