# SPDX-License-Identifier: Apache-2.0
"""Ctrl+C while an interface is being made, at whatever line: nothing is left behind."""

import _thread
import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

from libmemif_py import Interface, Timeout, uninterrupted
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
    return os.listdir(folder), len(os.listdir("/proc/self/fd")), threading.active_count()


class _Calls:
    """The calls that have begun on a thread without an object. Replaces the module `_thread`."""

    allocate_lock = _thread.allocate_lock

    def __init__(self) -> None:
        self._begun = []

    def start_new_thread(self, begin, arguments) -> None:
        done = _thread.allocate_lock()
        done.acquire()

        def run() -> None:
            begin(*arguments)
            done.release()

        _thread.start_new_thread(run, ())
        self._begun.append(done)

    def wait(self) -> None:
        """Until each has ended, and its thread."""
        while self._begun:
            assert self._begun.pop().acquire(timeout=TIMEOUT)
        for thread in threading.enumerate():
            if thread.name == "memif-call":
                thread.join()
        gc.collect()
        # Here an error comes at lines where no signal is seen, so that a call may not have begun.
        uninterrupted._pending.clear()


@pytest.fixture
def calls(monkeypatch) -> _Calls:
    calls = _Calls()
    calls.wait()
    monkeypatch.setattr(uninterrupted, "_thread", calls)
    return calls


def _check_nothing_is_left(before: tuple[list[str], int, int], folder, place: str) -> None:
    """What was dropped ends soon."""
    end = time.monotonic() + TIMEOUT
    while _state(folder) != before and time.monotonic() < end:
        time.sleep(0.001)
    assert _state(folder) == before, place


@pytest.mark.parametrize(("role", "is_first"), [("master", True), ("slave", False)])
def test_nothing_is_left_wherever_it_comes(tmp_path, calls, role, is_first):
    path, other = tmp_path / "socket", tmp_path / "other"
    kept = None if is_first else Interface(other, role="master")
    calls.wait()
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
            calls.wait()
            with Interface(path, role=role):  # waits until what was dropped is closed
                pass
            calls.wait()
            _check_nothing_is_left(before, tmp_path, places[-1])
    sources = {place.partition(":")[0] for place in places}
    assert sources == {
        "counters.py",
        "interface.py",
        "lock.py",
        "state.py",
        "threading.py",
        "uninterrupted.py",
    }
    if kept is not None:
        kept.close()
    assert reactor._thread is None


@pytest.mark.parametrize(("role", "is_last"), [("master", False), ("slave", True)])
def test_nothing_is_left_wherever_it_comes_in_close(tmp_path, calls, role, is_last):
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
        calls.wait()
        _check_nothing_is_left(before, tmp_path, places[-1])
        if ended:
            break
    sources = {place.partition(":")[0] for place in places}
    assert sources == {"interface.py", "lock.py", "state.py", "threading.py", "uninterrupted.py"}


_METHODS = {
    "counters": lambda interface: interface.counters(),
    "details": lambda interface: interface.details(),
    "rx_mode": lambda interface: interface.set_rx_mode("polling"),
    "wait_connected": lambda interface: interface.wait_connected(0.001),
}


@pytest.mark.parametrize("call", _METHODS)
def test_no_lock_stays_held_and_no_other_error_comes(tmp_path, call):
    """A program may catch Ctrl+C and go on."""
    with Interface(tmp_path / "socket", role="master") as interface:
        for number in itertools.count(1):
            interrupt = _InterruptAt(number, "call", "return")
            with contextlib.suppress(KeyboardInterrupt, Timeout), interrupt:
                _METHODS[call](interface)
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
from libmemif_py import Interface
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


WITHOUT_A_STEP = """
import _thread, signal, sys, threading
from libmemif_py import Interface, uninterrupted

class Slow:
    allocate_lock = _thread.allocate_lock

    def start_new_thread(self, begin, arguments):
        def run():
            pause.wait(0.2)
            begin(*arguments)

        _thread.start_new_thread(run, ())
        signal.raise_signal(signal.SIGINT)

class Told(uninterrupted._Call):
    def _end(self):
        print("ended", flush=True)
        super()._end()

pause = threading.Event()
uninterrupted._thread, uninterrupted._Call = Slow(), Told
Interface(sys.argv[1], role="master")
"""


def test_a_program_that_it_ends_waits_for_a_call_that_is_to_begin(tmp_path):
    """Python 3.11 crashes if it ends before the first step of a thread."""
    command = [sys.executable, "-c", WITHOUT_A_STEP, tmp_path / "socket"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == -signal.SIGINT, done.stderr
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("ended\n", "KeyboardInterrupt")
    assert os.listdir(tmp_path) == []
