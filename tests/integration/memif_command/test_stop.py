# SPDX-License-Identifier: Apache-2.0
"""Signals that come while a command makes what has to be cleaned up."""

import signal
import sys

import pytest
from support import builds

PROGRAM = """
import os, sys, threading
from libmemif_py.tools import stop

threading.Thread(target=threading.Event().wait, daemon=True).start()  # it takes signals too
stop.install()
try:
    if sys.argv[2] == "second":
        try:
            os.kill(os.getpid(), int(sys.argv[1]))
        except stop.Stopped:
            pass
    with stop.held():
        with stop.held():
            for _ in range(3):
                os.kill(os.getpid(), int(sys.argv[1]))
            print("made", flush=True)
        print("noted", flush=True)
    print("after", flush=True)
except stop.Stopped as stopped:
    print("stopped", stopped.number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_block_that_holds_signals_comes_to_its_end(tmp_path, number):
    command = [sys.executable, "-c", PROGRAM, str(int(number)), "first"]
    result = builds.run(command, cwd=tmp_path)
    assert result.stdout == f"made\nnoted\nstopped {int(number)}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_after_such_a_block(tmp_path, number):
    command = [sys.executable, "-c", PROGRAM, str(int(number)), "second"]
    result = builds.run(command, cwd=tmp_path, status=-number)
    assert result.stdout == "made\nnoted\n"
