# SPDX-License-Identifier: Apache-2.0
"""A forked child has interfaces of its own, which disturb nobody.

What the C APIs do in a child is in c_tests/v1/test_fork.c.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from support.children import FORKED, TIMEOUT, in_child, outcomes
from support.forking import ENDINGS, WAYS, connect, exchange

from libmemif_py import Interface
from libmemif_py.control import reactor


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("way", WAYS)
def test_a_child_works_and_its_parent_is_undisturbed(tmp_path, way, ending, count):
    command = [sys.executable, "-W", "error", FORKED, way, ending, str(count)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes) as process:
        try:
            assert process.communicate(timeout=2 * TIMEOUT) == ("undisturbed\n", "")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it may have left running


class CountingLib:
    """The extension, with a count of how often the control thread began to wait."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.polls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lib, name)

    def mif_poller_poll(self, pointer: Any, timeout: int) -> int:
        self.polls += 1
        return self._lib.mif_poller_poll(pointer, timeout)


def test_the_control_thread_of_a_child_sleeps(tmp_path, pair):
    def work() -> tuple[int, bool]:
        reactor.lib = lib = CountingLib(reactor.lib)
        own = connect(str(tmp_path / "own"))
        connected = lib.polls
        for _ in range(20):
            exchange(own)
        return lib.polls - connected, lib.polls > 0

    polls, counted = in_child(work)
    assert counted
    assert polls <= 10  # the last of the handshake may come late


def test_a_child_connects_with_its_parent(tmp_path, pair):
    path = str(tmp_path / "other")
    with Interface(path, role="master") as master:

        def work() -> bytes:
            with Interface(path) as slave:
                slave.send(b"from the child", TIMEOUT)
                return slave.recv(TIMEOUT)

        master_answers = threading.Thread(target=lambda: master.send(master.recv(TIMEOUT), TIMEOUT))
        master_answers.start()
        assert in_child(work) == b"from the child"
        master_answers.join()


def test_modes_change_in_a_child(tmp_path, pair):
    """Signals of control functions use a kernel object that no child inherits."""
    for mode in ("polling", "interrupt"):
        pair[0].set_rx_mode(mode)

    def work() -> None:
        master, slave = connect(str(tmp_path / "own"))
        for mode in ("polling", "interrupt"):
            master.set_rx_mode(mode)
            slave.send(b"packet", TIMEOUT)
            master.recv(TIMEOUT)

    assert in_child(work) is None


def test_a_child_of_a_child_works_and_disturbs_neither(tmp_path, pair):
    def work() -> dict[str, str]:
        own = connect(str(tmp_path / "own"))

        def work_deeper() -> dict[str, str]:
            found = outcomes({"parent's": pair[0].recv, "child's": own[0].recv})
            own[0].close()
            exchange(connect(str(tmp_path / "deeper")))
            return found

        found = in_child(work_deeper)
        exchange(own)
        return found

    assert in_child(work) == {"parent's": "ForkedError", "child's": "ForkedError"}
