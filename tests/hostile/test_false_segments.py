# SPDX-License-Identifier: Apache-2.0
"""Readers of segments survive what a hostile process offers as one, and read the others."""

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.builds import SUPPORT, environment
from support.programs import TIMEOUT, Program
from support.watching import interfaces

from libmemif_py import Interface, Process, processes, procfs

# What is said of the process: a part of it, "" nothing, None: the process is not shown.
ATTACKS = {
    "honest": "",
    "empty": "not sealed",
    "short": "not sealed",
    "short_and_sealed": "impossible header",
    "unsealed": "not sealed",
    "shrinking": "not sealed",
    "magic": "magic",
    "later": "layout 2",
    "header": "impossible header",
    "no_pairs": "impossible header",
    "queues": "65535 queues",
    "page": "too short",
    "odd": "changes all the time",
    "restless": None,
    "words": "",
    "numbers": "",
    "pid": None,
    "many": "too short",
    "descriptors": "",
    "rings": "",
}


@contextlib.contextmanager
def hostile(tmp_path, attack: str, *words: object) -> Iterator[int]:
    command = [sys.executable, "-P", SUPPORT / "false_segment.py", attack, *map(str, words)]
    with Program(command, tmp_path / "errors") as program:
        assert program.line() == "ready"
        yield program.pid


def texts_of(process: Process) -> list[str]:
    found = [process.name, process.problem]
    for interface in process.interfaces:
        found += [text for text in dataclasses.astuple(interface) if isinstance(text, str)]
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_reader_survives_and_reads_the_others(tmp_path, attack):
    expected = ATTACKS[attack]
    with hostile(tmp_path, attack) as pid, Interface(str(tmp_path / "m"), role="master"):
        for _ in range(3):
            found = {process.pid: process for process in processes()}
            assert len(found[os.getpid()].interfaces) == 1
            shown = found.get(pid)
            if attack == "restless":
                # Between two changes the record may be read.
                assert shown is not None
                assert shown.problem == "" or "all the time" in shown.problem
            elif expected is None:
                assert shown is None
            elif expected:
                assert expected in shown.problem
            else:
                assert shown.problem == ""
                assert {one.path for one in shown.interfaces} == {"/false"} or attack == "words"
            if shown is not None:
                assert all(text.isprintable() for text in texts_of(shown))
                assert len(shown.interfaces) <= 4096


def test_impossible_numbers_are_no_more_than_numbers(tmp_path):
    with hostile(tmp_path, "numbers") as pid:
        (shown,) = interfaces(pid)
    assert (shown.state, shown.since, shown.peer_pid) == ("waiting", 0, 0)
    for queue in (*shown.rx, *shown.tx):
        assert 0 <= queue.packets < 2**64
        assert (queue.ring_size, queue.ring_fill) == (0, None)


def test_only_memory_is_opened(tmp_path):
    """An open FIFO would be read, a file system of the process's own would make us wait."""
    with hostile(tmp_path, "named_file", tmp_path) as pid:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            name = os.readlink(f"/proc/{pid}/fd/{fd}")
            if name.endswith("memfd:libmemif-stats") or name.startswith("pipe:"):
                with pytest.raises(OSError, match="no memfd"):
                    procfs.open_memory(pid, int(fd))
        assert processes([pid]) == []


def test_processes_that_end_while_they_are_read_are_left_out(tmp_path):
    """Many of them, so that some end in the middle of it."""
    command = [sys.executable, "-P", SUPPORT / "false_segment.py", "descriptors"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, env=environment(), **pipes))
            for _ in range(4)
        ]
        for process in started:
            assert process.stdout.readline() == b"ready\n"
        assert {process.pid for process in started} <= {process.pid for process in processes()}
        for process in started:
            process.stdin.close()
            while process.poll() is None:
                assert all(isinstance(found, Process) for found in processes())
            process.wait(TIMEOUT)
        assert not {process.pid for process in started} & {found.pid for found in processes()}
