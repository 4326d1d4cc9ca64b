# SPDX-License-Identifier: Apache-2.0
"""A signal ends a command wherever it comes."""

import signal
import sys

import pytest
from support.builds import run

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


def test_what_else_goes_wrong_there_is_shown():
    code = DROPPED.replace("os.kill(os.getpid(), int(sys.argv[1]))", "1 / 0").replace("60", "0")
    assert "ZeroDivisionError" in run([sys.executable, "-P", "-c", code, "0"]).stderr
