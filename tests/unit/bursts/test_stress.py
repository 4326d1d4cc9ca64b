# SPDX-License-Identifier: Apache-2.0
"""Threads share queues, bursts and lists without harm, with and without the interpreter lock."""

import subprocess
import sys
import threading

import pytest
from support import stress
from support.pairs import TIMEOUT, pair

ROUNDS = 25


@pytest.mark.parametrize("part", stress.ALL, ids=lambda part: part.__name__)
def test_many_threads(part):
    part(ROUNDS)


def test_the_package_needs_no_interpreter_lock():
    """A free-threaded Python takes it back, with a RuntimeWarning, for a module that needs it."""
    program = (
        "import sys\n"
        "before = sys._is_gil_enabled() if hasattr(sys, '_is_gil_enabled') else True\n"
        "from libmemif_py import Interface\n"
        "after = sys._is_gil_enabled() if hasattr(sys, '_is_gil_enabled') else True\n"
        "sys.exit(before != after)\n"
    )
    subprocess.run([sys.executable, "-P", "-W", "error", "-c", program], check=True, timeout=60)


def test_a_burst_that_two_threads_end_frees_its_queue_once(monkeypatch):
    """The second looks just before the first takes the lock out."""

    class Watched(list):
        def pop(self):
            first = super().pop()
            if not other.is_set():
                other.set()
                thread = threading.Thread(target=burst.release)
                thread.start()
                thread.join(TIMEOUT)
            return first

    other = threading.Event()
    with pair() as (sender, receiver):
        sender.send_burst([b"1", b"2"], TIMEOUT)
        burst = receiver.rx_burst(1, TIMEOUT)
        burst._held = Watched(burst._held)
        burst.release()
        assert receiver.recv(TIMEOUT) == b"2"
