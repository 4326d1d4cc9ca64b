# SPDX-License-Identifier: Apache-2.0
"""Ctrl+C while an interface is being made, at whatever line: nothing is left behind."""

import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from libmemif_py import Interface, Timeout
from libmemif_py.control import reactor
from libmemif_py.control.lock import LOCK

TIMEOUT = 60.0
# Sources whose lines run while there is something to leave behind.
_INTERRUPTED = ("/interface.py", "/uninterrupted.py", "/receiving.py", "/observer.py")
# Where a function begins or ends, Python looks for signals; not at each line. `line` is right only
# for sources in which no lock is taken on the main thread.
_AT_ENDS = ("/threading.py", "/lock.py", "/state.py", "/counters.py")


class _InterruptAt:
    """Raises at the line of this number, or other event, of this thread in the library."""

    def __init__(self, number: int, *events: str) -> None:
        self.left = number
        self.events = events or ("line",)
        self.where = None

    def __call__(self, frame, event, _argument):
        name = frame.f_code.co_filename
        if not name.endswith((*_INTERRUPTED, *_AT_ENDS)):
            return None
        events = self.events if name.endswith(_INTERRUPTED) else ("call", "return")
        if event in events and self.left > 0:
            self.left -= 1
            if self.left == 0:
                self.where = f"{os.path.basename(name)}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(None)


def _state(folder) -> tuple[list[str], int, int]:
    # Not threading.active_count(): a thread without an object may be about to begin the call.
    threads = len(os.listdir("/proc/self/task"))
    return os.listdir(folder), len(os.listdir("/proc/self/fd")), threads


def _check_nothing_is_left(before: tuple[list[str], int, int], folder, place: str) -> None:
    """What was interrupted comes to its end on threads that nobody can join.

    Those of a test before this one may have ended since `before`.
    """
    end = time.monotonic() + TIMEOUT
    while True:
        now = _state(folder)
        good = now[:2] == before[:2] and now[2] <= before[2]
        if good or time.monotonic() >= end:
            assert good, (place, now, before)
            return
        time.sleep(0.001)


@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("is_first", [True, False])
def test_nothing_is_left_wherever_it_comes(tmp_path, role, is_first):
    path, other = tmp_path / "socket", tmp_path / "other"
    kept = None if is_first else Interface(other, role="master")
    before = _state(tmp_path)
    places = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it may come when the interface is made
        for number in itertools.count(1):
            try:
                with _InterruptAt(number) as interrupt:
                    made = Interface(path, role=role)
            except KeyboardInterrupt:
                places.append(interrupt.where)
            else:
                made.close()
                break
            gc.collect()
            _check_nothing_is_left(before, tmp_path, places[-1])
            with Interface(path, role=role):  # waits until what was dropped is closed
                pass
            _check_nothing_is_left(before, tmp_path, places[-1])
    sources = {place.partition(":")[0] for place in places}
    assert sources >= {"interface.py", "uninterrupted.py", "threading.py"}
    if kept is not None:
        kept.close()
    assert reactor._thread is None


@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("is_last", [True, False])
def test_nothing_is_left_wherever_it_comes_in_close(tmp_path, role, is_last):
    path, other = tmp_path / "socket", tmp_path / "other"
    before = _state(tmp_path)
    places = []
    for number in itertools.count(1):
        kept = None if is_last else Interface(other, role="master")
        made = Interface(path, role=role)
        try:
            with _InterruptAt(number) as interrupt:
                made.close()
        except KeyboardInterrupt:
            places.append(interrupt.where)
        ended = interrupt.where is None
        made.close()
        if kept is not None:
            kept.close()
        _check_nothing_is_left(before, tmp_path, places[-1])
        if ended:
            break
    sources = {place.partition(":")[0] for place in places}
    assert sources >= {"interface.py", "uninterrupted.py", "threading.py"}


_CALLS = {
    "counters": lambda interface: interface.counters(),
    "details": lambda interface: interface.details(),
    "rx_mode": lambda interface: interface.set_rx_mode("polling"),
    "wait_connected": lambda interface: interface.wait_connected(0.001),
}


@pytest.mark.parametrize("call", _CALLS)
def test_no_lock_stays_held_and_no_other_error_comes(tmp_path, call):
    """A program may catch Ctrl+C and go on."""
    with Interface(tmp_path / "socket", role="master") as interface:
        for number in itertools.count(1):
            interrupt = _InterruptAt(number, "call", "return")
            with contextlib.suppress(KeyboardInterrupt, Timeout), interrupt:
                _CALLS[call](interface)
            assert not LOCK.is_own(), interrupt.where
            assert not interface._state.lock.is_own(), interrupt.where
            assert not interface._state._waiting, interrupt.where
            if interrupt.where is None:
                break
        assert number > 5


@pytest.mark.parametrize("held", [LOCK, "its own"])
def test_a_signal_handler_closes_whatever_the_main_thread_holds(tmp_path, held):
    interface = Interface(tmp_path / "socket", role="master")
    previous = signal.signal(signal.SIGUSR1, lambda *_: interface.close())
    try:
        with interface._state.lock if held == "its own" else held:
            signal.raise_signal(signal.SIGUSR1)
            assert os.listdir(tmp_path) == []
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert reactor._thread is None


def test_an_exit_handler_closes(tmp_path):
    """Python starts no thread any more when its exit handlers run."""
    program = (
        "import atexit, sys; from libmemif_py import Interface\n"
        "interface = Interface(sys.argv[1], role='master')\n"
        "@atexit.register\n"
        "def end():\n"
        "    interface.close()\n"
        "    print('closed')\n"
    )
    command = [sys.executable, "-c", program, tmp_path / "socket"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    assert (done.stdout, done.stderr) == ("closed\n", "")
    assert os.listdir(tmp_path) == []


PROGRAM = """
import sys
from libmemif_py import Interface, Timeout
print(flush=True)
while True:
    Interface(sys.argv[1], role="master").close()
"""


def test_a_program_that_it_ends_leaves_no_socket_file(tmp_path):
    path = tmp_path / "socket"
    for _ in range(20):
        command = [sys.executable, "-c", PROGRAM, path]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as program:
            program.stdout.readline()
            while not path.exists():
                assert program.poll() is None
            program.send_signal(signal.SIGINT)
            program.communicate(timeout=TIMEOUT)
        assert program.returncode == -signal.SIGINT
        assert os.listdir(tmp_path) == []
