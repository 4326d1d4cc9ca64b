# SPDX-License-Identifier: Apache-2.0
"""Functions that run in a forked child, and what they raise there."""

import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from support.builds import SUPPORT

TIMEOUT = 60.0
FORKED = SUPPORT / "forking.py"


def fork() -> int:
    """As os.fork, which from 3.12 on warns of threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        return os.fork()


def run_and_exit(function: Callable[[], Any], answers: int) -> None:
    """In the child. A call that hangs is ended by the alarm."""
    try:
        signal.alarm(int(TIMEOUT))
        try:
            answer = function()
        except BaseException:
            answer = "failed:\n" + traceback.format_exc()
        with open(answers, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)


def in_child(function: Callable[[], Any]) -> Any:
    """What the function returns in a forked child, which then ends without more ado."""
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        child = fork()
        if child == 0:
            run_and_exit(function, writing)
        os.close(writing)
        answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0
    return pickle.loads(answer)  # noqa: S301 - our own


def outcome(call: Callable[[], Any]) -> str:
    """The name of what it raises."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "no error"


def outcomes(calls: dict[str, Callable[[], Any]]) -> dict[str, str]:
    return {name: outcome(call) for name, call in calls.items()}


def all_forked(calls: dict[str, Any]) -> dict[str, str]:
    return dict.fromkeys(calls, "ForkedError")


def descriptors() -> list[str]:
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if os.path.lexists(link)]
