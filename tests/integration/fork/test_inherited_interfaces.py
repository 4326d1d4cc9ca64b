# SPDX-License-Identifier: Apache-2.0
"""What a child inherits does not work there, and its end disturbs nobody."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.children import TIMEOUT, all_forked, descriptors, in_child, outcome, outcomes
from support.forking import connect

from libmemif_py import Interface

CALLS: dict[str, Callable[[Interface], Any]] = {
    "any_queue": lambda memif: memif.any_queue.recv(),
    "connected": lambda memif: memif.connected,
    "counters": lambda memif: memif.counters(),
    "details": lambda memif: memif.details(),
    "fileno": lambda memif: memif.fileno(),
    "flush": lambda memif: memif.flush(),
    "peer": lambda memif: memif.peer,
    "recv": lambda memif: memif.recv(),
    "recv_burst": lambda memif: memif.recv_burst(),
    "rx_burst": lambda memif: memif.rx_burst(),
    "rx_fill": lambda memif: memif.rx_fill(),
    "rx_slots": lambda memif: memif.rx_slots(),
    "send": lambda memif: memif.send(b"x"),
    "send_burst": lambda memif: memif.send_burst([b"x"]),
    "set_filter": lambda memif: memif.set_filter("icmp"),
    "set_rx_mode": lambda memif: memif.set_rx_mode("polling"),
    "tx_burst": lambda memif: memif.tx_burst(1, 64),
    "tx_fill": lambda memif: memif.tx_fill(),
    "tx_slots": lambda memif: memif.tx_slots(),
    "wait_connected": lambda memif: memif.wait_connected(),
    "iteration": lambda memif: next(iter(memif)),
}


def test_the_calls_are_all_there_are():
    public = {name for name in dir(Interface) if not name.startswith("_")}
    assert public - {"close"} == CALLS.keys() - {"iteration"}


@pytest.mark.parametrize("end", [0, 1], ids=["master", "slave"])
def test_every_call_on_an_inherited_interface_raises(pair, end):
    pair[1 - end].send(b"the parent's", TIMEOUT)
    calls = {name: lambda call=call: call(pair[end]) for name, call in CALLS.items()}
    assert in_child(lambda: outcomes(calls)) == all_forked(calls)
    assert pair[end].recv(TIMEOUT) == b"the parent's"


@pytest.mark.parametrize("role", ["master", "slave"])
def test_every_call_without_a_link_raises(tmp_path, role):
    with Interface(tmp_path / "socket", role=role) as memif:
        calls = {name: lambda call=call: call(memif) for name, call in CALLS.items()}
        assert in_child(lambda: outcomes(calls)) == all_forked(calls)


def test_the_error_says_what_to_do(pair):
    def work() -> list[str]:
        texts = [repr(pair[0])]
        for call in (pair[0].recv, lambda: pair[1].send(b"")):
            with pytest.raises(RuntimeError, match="make an interface in this process") as caught:
                call()
            texts.append(caught.value.code)
        return texts

    path = pair[0].details().path
    assert in_child(work) == [f"<Interface master {path!r} id=0 inherited>", "SYSCALL", "SYSCALL"]


@pytest.mark.parametrize("end", [0, 1], ids=["master", "slave"])
def test_the_end_of_an_inherited_interface_is_local(pair, end):
    def work() -> str:
        memif = pair[end]
        with memif:
            pass
        memif.close()
        return outcome(memif.recv)

    assert in_child(work) == "NoConnectionError"


def test_what_was_closed_before_the_fork_stays_so(tmp_path):
    memif = Interface(tmp_path / "socket", role="master")
    memif.close()

    def work() -> None:
        memif.close()

    assert in_child(work) is None


def test_a_child_keeps_no_descriptor_of_the_library(tmp_path):
    """They would keep a link alive in the eyes of peers when the parent is gone."""
    before = sorted(descriptors())
    with contextlib.ExitStack() as stack:
        for interface in connect(str(tmp_path / "socket")):
            stack.callback(interface.close)
        during = sorted(descriptors())
        inherited = in_child(descriptors)
    assert len(during) > len(before)
    ours = set(during) - set(before)
    kinds = ("anon_inode:[eventfd]", "anon_inode:[eventpoll]", "anon_inode:[timerfd]")
    assert not ours & set(inherited) - set(kinds)
    for kind in kinds:
        assert inherited.count(kind) == before.count(kind)


ORPHANS = r"""
import os, signal, sys
from libmemif_py import Interface

slave = Interface(sys.argv[1])
slave.wait_connected(60)
if os.fork() == 0:
    os.write(1, b"child\n")
    sys.stdin.read(1)  # it outlives its parent
    os._exit(0)
os.write(1, b"parent\n")
signal.pause()
"""


def test_a_killed_parent_is_gone_though_its_child_lives(tmp_path):
    path, down = tmp_path / "socket", threading.Event()
    with Interface(path, role="master", on_disconnect=lambda *_: down.set()) as master:
        command = [sys.executable, "-W", "ignore", "-c", ORPHANS, path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
            try:
                master.wait_connected(TIMEOUT)
                assert sorted(process.stdout.readline() for _ in range(2)) == [
                    b"child\n",
                    b"parent\n",
                ]
                assert not down.is_set()
            finally:
                process.kill()
            assert down.wait(TIMEOUT)
            process.stdin.close()  # ends the child
