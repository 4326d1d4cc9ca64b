# SPDX-License-Identifier: Apache-2.0
"""A signal ends a command wherever it comes."""

import signal
import sys
import threading

import pytest
from support.builds import run

from libmemif_py.tools import stop

DROPPED = """
import os, signal, sys, time
from libmemif_py.tools import stop

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(1000):
            pass

stop.install()
try:
    Dropped()
    time.sleep(60)
except stop.Stopped as stopped:
    print(stopped.number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_not_lost_in_the_end_of_an_object(number):
    result = run([sys.executable, "-P", "-c", DROPPED, str(int(number))])
    assert (result.stdout, result.stderr) == (f"{int(number)}\n", "")


UNNOTICED = """
import select, signal, sys, threading, time
from libmemif_py.tools import stop

def take_it():
    time.sleep(0.2)  # until the main thread waits
    signal.pthread_kill(threading.get_ident(), int(sys.argv[1]))

stop.install()
try:
    threading.Thread(target=take_it).start()
    select.epoll().poll()
except stop.Stopped as stopped:
    print(stopped.number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_ends_no_wait_is_noticed(number):
    """As one that comes just before the main thread begins to wait. Another thread takes it."""
    result = run([sys.executable, "-P", "-c", UNNOTICED, str(int(number))])
    assert (result.stdout, result.stderr) == (f"{int(number)}\n", "")


def _error_after(stopped: BaseException) -> RuntimeError:
    try:
        try:
            raise stopped
        finally:
            threading.Lock().release()
    except RuntimeError as error:
        return error


def test_a_lock_that_a_signal_left_in_the_wrong_state_is_no_error():
    assert stop.status_of(stop.Stopped(signal.SIGTERM)) == 143
    assert stop.status_of(_error_after(stop.Stopped(signal.SIGINT))) == 130
    assert stop.status_of(_error_after(ValueError())) is None
    with stop.by_ctrl_c():
        raise _error_after(stop.Stopped(signal.SIGINT))
    with pytest.raises(RuntimeError), stop.by_ctrl_c():
        raise _error_after(stop.Stopped(signal.SIGTERM))


def test_what_else_goes_wrong_there_is_shown():
    code = DROPPED.replace("os.kill(os.getpid(), int(sys.argv[1]))", "1 / 0").replace("60", "0")
    assert "ZeroDivisionError" in run([sys.executable, "-P", "-c", code, "0"]).stderr
