# SPDX-License-Identifier: Apache-2.0
"""What processes show of themselves, awaited."""

import os
import time
from collections.abc import Callable

from libmemif_py import Process, ProcessInterface, processes
from support.programs import TIMEOUT


def process(pid: int | None = None) -> Process | None:
    """What a process shows; of none, what we show."""
    found = processes([os.getpid() if pid is None else pid])
    return found[0] if found else None


def interfaces(pid: int | None = None) -> tuple[ProcessInterface, ...]:
    found = process(pid)
    assert found is None or found.problem == "", found
    return found.interfaces if found else ()


def until(pid: int | None, good: Callable[[ProcessInterface], bool]) -> ProcessInterface:
    """The first interface of a process that is as wanted."""
    end = time.monotonic() + TIMEOUT
    while True:
        shown = interfaces(pid)
        for interface in shown:
            if good(interface):
                return interface
        assert time.monotonic() < end, shown
        time.sleep(0.01)
