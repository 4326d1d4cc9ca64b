# SPDX-License-Identifier: Apache-2.0
"""A process may fork at any moment, also in a callback."""

import os
import threading
from pathlib import Path
from typing import Any

from support.children import TIMEOUT, fork, in_child, outcome
from support.forking import connect, exchange

from libmemif_py import Interface


def test_forks_while_the_control_plane_is_at_work(tmp_path):
    """The control thread and another one are inside the library at most of these moments."""
    stop = threading.Event()

    def reconnect() -> None:
        while not stop.is_set():
            for interface in connect(str(tmp_path / "socket")):
                interface.close()

    def work() -> None:
        exchange(connect(str(tmp_path / "own")))

    thread = threading.Thread(target=reconnect)
    thread.start()
    try:
        for _ in range(30):
            assert in_child(work) is None
    finally:
        stop.set()
        thread.join()


def test_a_fork_in_a_callback(tmp_path):
    """The child has the library's thread and no other; when the callback returns it ends."""
    path, done = str(tmp_path / "socket"), threading.Event()
    found: list[Any] = []

    def told(memif: Interface) -> None:
        def work() -> str:
            exchange(connect(str(tmp_path / "own")))
            return outcome(memif.recv)

        found.append(in_child(work))
        child = fork()
        if child:
            found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            done.set()

    with Interface(path, role="master", on_connect=told) as master, Interface(path) as slave:
        assert done.wait(TIMEOUT)
        assert found == ["ForkedError", 0]
        exchange((master, slave))
        assert Path(path).is_socket()


def test_a_fork_in_the_question_who_may_connect(tmp_path):
    """The child that returns from it would go on with the handshake in its parent's place."""
    path = str(tmp_path / "socket")
    found: list[int] = []

    def allow(_peer: object) -> bool:
        child = fork()
        if child:
            found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return True

    with Interface(path, role="master", allow=allow) as master, Interface(path) as slave:
        slave.wait_connected(TIMEOUT)
        exchange((master, slave))
        assert found == [0]
