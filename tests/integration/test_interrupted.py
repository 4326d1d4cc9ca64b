# SPDX-License-Identifier: Apache-2.0
"""Ctrl+C while an interface is being made, at whatever line: nothing is left behind."""

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

from libmemif_py import Interface
from libmemif_py.control import reactor
from libmemif_py.control.lock import LOCK

TIMEOUT = 60.0
# Sources whose lines run while there is something to leave behind.
_INTERRUPTED = ("/interface.py", "/uninterrupted.py", "/receiving.py", "/observer.py")
# Python's own. It sees a signal where a function begins, or behind a call of C as the last one of
# some functions, but not at each line.
_PYTHONS = "/threading.py"


class _InterruptAt:
    """Raises at the line of this number that this thread runs in the library."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.where = None

    def __call__(self, frame, event, _argument):
        name = frame.f_code.co_filename
        if not name.endswith((*_INTERRUPTED, _PYTHONS)):
            return None
        seen_at = ("call", "return") if name.endswith(_PYTHONS) else ("line",)
        if event in seen_at and self.left > 0:
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


def _wait_for(state, folder) -> None:
    """What was interrupted comes to its end on threads that nobody can join."""
    end = time.monotonic() + TIMEOUT
    while _state(folder) != state and time.monotonic() < end:
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
            _wait_for(before, tmp_path)
            with Interface(path, role=role):  # waits until what was dropped is closed
                pass
            assert _state(tmp_path) == before, places[-1]
    sources = {place.partition(":")[0] for place in places}
    assert sources == {"interface.py", "uninterrupted.py", "threading.py"}
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
        _wait_for(before, tmp_path)
        assert _state(tmp_path) == before, places[-1]
        if ended:
            break
    sources = {place.partition(":")[0] for place in places}
    assert sources == {"interface.py", "uninterrupted.py", "threading.py"}


@pytest.mark.parametrize("held", [LOCK, "changed"])
def test_a_signal_handler_closes_whatever_the_main_thread_holds(tmp_path, held):
    interface = Interface(tmp_path / "socket", role="master")
    previous = signal.signal(signal.SIGUSR1, lambda *_: interface.close())
    try:
        with interface._state.changed if held == "changed" else held:
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
