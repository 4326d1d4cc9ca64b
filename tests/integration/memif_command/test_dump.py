# SPDX-License-Identifier: Apache-2.0
"""`memif dump` shows and records what comes in."""

import contextlib
import io
import os
import pty
import subprocess

from support.memif_command import MEMIF, packets, wait_for_words, write_capture
from support.programs import TIMEOUT

from libmemif_py import Interface
from libmemif_py.tools.formats import pcapng


def test_dump_writes_to_stdout_and_keeps_what_snaplen_says(shell):
    frames = packets(50, most=1500)
    source = write_capture(shell.folder / "source.pcap", frames)
    dump = shell.side("dump", "-w", "-", "-s", 100, "-c", len(frames), role="master")
    shell.run("play", source, "-S", shell.socket)
    assert dump.wait() == 0
    output = dump._process.stdout.read()
    records = list(pcapng.read(io.BytesIO(output)))
    assert [record.data for record in records] == [frame[:100] for frame in frames]
    assert [record.length for record in records] == [len(frame) for frame in frames]
    # The line that says that the peer left may come before or after it.
    assert "50 packets captured" in dump.errors.splitlines()


def test_dump_shows_a_line_for_each_packet(shell):
    arp = bytes.fromhex(
        "ffffffffffff02fe0a000001080600010800060400 01 02fe0a000001 0a000001 000000000000 0a000002"
    )
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-x", "-c", 1)
        ours.send(arp, TIMEOUT)
        assert dump.wait() == 0
    lines = dump.rest().splitlines()
    assert lines[0].endswith(" ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28")
    assert lines[1] == "\t0x0000:  ffff ffff ffff 02fe 0a00 0001 0806 0001  ................"


def test_dump_takes_all_queues(shell):
    with Interface(shell.socket, role="master", s2m_rings=3, m2s_rings=3) as ours:
        dump = shell.side("dump", "-c", 3, "--queues", 3)
        for queue in range(3):
            ours.send(bytes(60), TIMEOUT, queue=queue)
        assert dump.wait() == 0
    assert dump.rest().count("\n") == 3


def test_a_reader_that_leaves_ends_dump_quietly(shell):
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump")
        ours.send(bytes(60), TIMEOUT)
        dump.line()
        dump._process.stdout.close()
        with contextlib.suppress(OSError):
            while dump._process.poll() is None:
                ours.send(bytes(60), 0.1)
        assert dump.wait() == 1
    assert "Traceback" not in dump.errors


def test_a_capture_is_not_written_to_a_terminal(shell):
    terminal, program_side = pty.openpty()
    try:
        command = [*MEMIF, "dump", "-S", shell.socket, "-w", "-"]
        result = subprocess.run(
            command, stdout=program_side, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(program_side)
        os.close(terminal)
    assert result.returncode == 2
    assert b"terminal" in result.stderr


def test_packets_that_came_together_have_one_time_and_the_capture_says_so(shell):
    frames = packets(200, most=60)
    target = shell.folder / "target.pcapng"
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-c", len(frames), "-w", target)
        wait_for_words(dump, "connected to")  # it has posted its buffers
        ours.wait_connected(TIMEOUT)
        with dump.stopped():
            ours.send_burst(frames, TIMEOUT)
        assert dump.wait() == 0
    with target.open("rb") as file:
        records = list(pcapng.read(file))
    assert [record.data for record in records] == frames
    assert len({record.time_ns for record in records}) == 1
    said = b"times of reception; packets that were received together have the same time"
    assert said in target.read_bytes()
