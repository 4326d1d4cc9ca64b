# SPDX-License-Identifier: Apache-2.0
"""`memif dump` shows and records what comes in."""

import contextlib
import io
import itertools
import os
import pty
import re
import signal
import subprocess
import sys

import pytest
from support.builds import run
from support.frames import FRAMES, PACKETS, tcpdump, tcpdump_lines
from support.memif_command import (
    MEMIF,
    capture,
    packets,
    statistics,
    wait_for_words,
    write_capture,
)
from support.programs import TIMEOUT

from libmemif_py import Interface
from libmemif_py.tools.formats import pcapng
from libmemif_py.tools.printing import Printer, Style


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


def dumped(shell, *words: object, frames: list[bytes] = PACKETS) -> list[str]:
    """What dump prints of frames; the words limit it to so many."""
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", *words)
        ours.send_burst(frames, TIMEOUT)
        assert dump.wait() == 0, dump.errors
    return dump.rest().splitlines()


@pytest.mark.parametrize(
    "words", [["icmp or vlan 5"], ["icmp", "or", "vlan", "5"], ["-f", "icmp or vlan 5"]]
)
def test_dump_shows_what_tcpdump_shows_with_the_same_filter(shell, words):
    expected = tcpdump_lines(PACKETS, "-t", "icmp or vlan 5")
    lines = dumped(shell, "-t", "-c", len(expected), *words)
    # Tags of a VLAN are shown by tcpdump with -e only.
    assert [line.replace("vlan 5, ", "").replace("vlan 6, ", "") for line in lines] == expected
    assert sum("vlan 5" in line for line in lines) == 2


def test_the_options_for_lines_are_those_of_tcpdump(shell):
    frames = [FRAMES["icmp"], FRAMES["tcp"], FRAMES["udp over ip6"], FRAMES["dns answer"]]
    for words in (["-q"], ["-A"], ["-X"], ["-XX"], ["-q", "-X"], ["-nlU"], ["-s0"]):
        expected = tcpdump_lines(frames, "-t", *words)
        assert dumped(shell, "-t", "-c", len(frames), *words, frames=frames) == expected


def test_more_of_ip_headers_is_shown_in_the_words_of_tcpdump(shell):
    frames = [FRAMES["icmp"], FRAMES["udp over ip6"]]
    lines = dumped(shell, "-tv", "-c", 2, frames=frames)
    # There in two lines, and with what it thinks of checksums.
    expected = tcpdump_lines(frames, "-tv")
    assert lines[0] == f"{expected[0]} {expected[1].strip()}"
    assert lines[1] == expected[2].replace("[udp sum ok] ", "")


def test_times_are_shown_in_the_five_ways_of_tcpdump():
    def shown(times: int) -> list[str]:
        file = io.StringIO()
        printer = Printer(Style("ethernet", 100, times=times), file)
        for time_ns in (
            1_700_000_000_123_456_789,
            1_700_000_001_500_000_000,
            1_700_003_602 * 10**9,
        ):
            printer.write(FRAMES["arp"], time_ns)
        return [line.partition("ARP")[0] for line in file.getvalue().splitlines()]

    assert shown(1) == ["", "", ""]
    assert shown(2)[0] == "1700000000.123456 "
    assert shown(3) == [" 00:00:00.000000 ", " 00:00:01.376543 ", " 01:00:00.500000 "]
    assert shown(5) == [" 00:00:00.000000 ", " 00:00:01.376543 ", " 01:00:01.876543 "]
    assert re.fullmatch(r"2023-11-1\d \d\d:\d\d:\d\d\.123456 ", shown(4)[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.123456 ", shown(0)[0])


WRONG_WORDS = {
    ("icmp or",): "syntax error",
    ("-f", "icmp or"): "syntax error",
    ("-f", "icmp", "tcp"): "two filters, 'tcp' and -f 'icmp': give one",
    ("/tmp/a.sock",): "for a socket: -S /tmp/a.sock",
    ("-C", "1"): "name them with -w FILE",
    ("-w", "-", "-G", "1"): "name them with -w FILE",
    ("-w", "x", "-W", "3"): "the number of files of -C or -G",
    ("-w", "x", "-C", "1t"): "expected millions of bytes",
    ("-a", "weeks:2"): "expected one of: duration:N, filesize:N, packets:N",
    ("-a", "packets:0"): "with N above 0",
    ("-a", "filesize:1"): "name one with -w",
    ("-w", "-", "--print"): "would both write to stdout",
    ("-tttttt",): "expected at most 5",
}


@pytest.mark.parametrize(("words", "said"), WRONG_WORDS.items())
def test_wrong_words_are_refused_before_anything_is_opened(shell, words, said):
    result = shell.run("dump", "-S", shell.socket, "--role", "master", *words, status=2)
    assert said in " ".join(result.stderr.split())
    assert sorted(shell.folder.iterdir()) == []


def test_without_libpcap_the_error_names_the_package(shell):
    program = (
        "import sys; from libmemif_py import filters; from libmemif_py.tools.main import main; "
        "filters._LIBRARIES = ('libpcap-is-missing.so',); sys.exit(main(sys.argv[1:]))"
    )
    result = run([sys.executable, "-P", "-c", program, "dump", "icmp"], status=2)
    assert "apt-get install libpcap0.8" in result.stderr


def test_counts_are_on_stderr_and_in_the_file(shell):
    target = shell.folder / "target.pcapng"
    others = [frame for frame in PACKETS if frame != FRAMES["icmp"]]
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-w", target, "--print", "-c", 1, "icmp")
        ours.send_burst([*others, FRAMES["icmp"]], TIMEOUT)
        assert dump.wait() == 0
    assert "ICMP echo request" in dump.rest()
    assert capture(target) == [FRAMES["icmp"]]
    for line in ("1 packets captured", f"{len(others)} packets filtered", "0 packets lost"):
        assert line in dump.errors.splitlines()
    assert statistics(target) == [{4: len(PACKETS), 5: 0, 6: 1, 8: 1}]
    assert b"\0icmp" in target.read_bytes()


def test_packets_that_a_signal_kept_from_the_file_are_lost(shell):
    """The reader of the capture reads nothing, so that the command waits within a burst."""
    frames = [bytes(9000)] * 60
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-w", "-", "--ring-size", 1024)
        ours.send_burst(frames, TIMEOUT)
        ours.flush(TIMEOUT)
        dump.send_signal(signal.SIGINT)
        wait_for_words(dump, "packets lost")
        output = dump._process.stdout.read()
        assert dump.wait() == 0
    records = []
    with contextlib.suppress(pcapng.CaptureError):  # its last packet is cut
        records += pcapng.read(io.BytesIO(output))
    counts = dict(reversed(line.split(" ", 1)) for line in dump.errors.splitlines()[-3:])
    lost = int(counts["packets lost"])
    assert lost > 0
    assert int(counts["packets captured"]) + lost == len(frames)
    assert len(records) <= int(counts["packets captured"]) + 1


def names_and_packets(folder, pattern: str) -> dict[str, int]:
    """How many packets tcpdump reads from each file."""
    return {
        path.name: len(tcpdump(path.read_bytes()).splitlines())
        for path in sorted(folder.glob(pattern))
    }


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_a_file_that_is_full_is_followed_by_another(shell, suffix):
    frames = [bytes(1000)] * 20
    dumped(shell, "-w", f"{shell.folder}/r.{suffix}", "-C", "4k", "-c", 20, frames=frames)
    # As tcpdump: the packet behind the first that made it too large begins the next.
    each = {f"r.{suffix}": 5, f"r.{suffix}1": 5, f"r.{suffix}2": 5, f"r.{suffix}3": 5}
    if suffix == "pcapng":
        each = {f"r.{suffix}": 4, **{f"r.{suffix}{number}": 4 for number in range(1, 5)}}
    assert names_and_packets(shell.folder, "r.*") == each
    found = [capture_of(path) for path in sorted(shell.folder.glob("r.*"))]
    assert list(itertools.chain(*found)) == frames


def capture_of(path) -> list[bytes]:
    with path.open("rb") as file:
        return [record.data for record in pcapng.read(file)]


def test_a_ring_of_files_holds_the_last_packets(shell):
    frames = [bytes((number,)) * 1000 for number in range(70)]
    target = shell.folder / "ring.pcap"
    dumped(shell, "-w", target, "-C", "4k", "-W", 11, "-c", 70, frames=frames)
    names = [f"ring.pcap{number:02d}" for number in range(11)]
    assert [path.name for path in sorted(shell.folder.glob("ring*"))] == names
    kept = sorted(packet for name in names for packet in capture_of(shell.folder / name))
    assert kept == frames[-len(kept) :]
    assert len(kept) == 55


def test_a_next_file_that_cannot_be_made_ends_the_command_with_the_reason(shell):
    folder = shell.folder / "files"
    folder.mkdir()
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-w", folder / "ring.pcapng", "-C", "4k")
        wait_for_words(dump, "connected to")
        folder.rename(shell.folder / "elsewhere")
        ours.send_burst([bytes(1000)] * 8, TIMEOUT)
        assert dump.wait() == 2
    assert f"-w {folder}/ring.pcapng1: No such file or directory" in " ".join(dump.errors.split())
    assert "Traceback" not in dump.errors
    assert len(capture_of(shell.folder / "elsewhere" / "ring.pcapng")) == 4


def test_files_change_with_the_time_until_there_are_enough(shell):
    target = shell.folder / "at-%Y-%H%M%S.pcapng"
    with Interface(shell.socket, role="master") as ours:
        dump = shell.side("dump", "-w", target, "-G", 1, "-W", 3)
        ours.wait_connected(TIMEOUT)
        ours.send(FRAMES["icmp"], TIMEOUT)
        assert dump.wait() == 0
    files = sorted(shell.folder.glob("at-*"))
    assert len(files) == 3
    assert all(re.fullmatch(r"at-\d{4}-\d{6}\.pcapng", path.name) for path in files)
    assert list(itertools.chain(*map(capture_of, files))) == [FRAMES["icmp"]]


@pytest.mark.parametrize(
    ("condition", "least", "most"), [("packets:7", 7, 7), ("filesize:5", 5, 6)]
)
def test_a_capture_ends_under_the_conditions_of_dumpcap(shell, condition, least, most):
    target = shell.folder / "target.pcap"
    dumped(shell, "-w", target, "-a", condition, frames=[bytes(1000)] * 20)
    assert least <= len(capture_of(target)) <= most


def test_a_capture_ends_after_its_time(shell):
    with Interface(shell.socket, role="master"):
        dump = shell.side("dump", "-a", "duration:0.3")
        assert dump.wait() == 0
    assert "0 packets captured" in dump.errors.splitlines()


def test_the_socket_may_be_given_as_tcpdump_s_interface(shell):
    with Interface(shell.socket, role="master") as ours:
        dump = shell.start("dump", "-i", shell.socket, "-c", 1, "-nn")
        ours.send(FRAMES["arp"], TIMEOUT)
        assert dump.wait() == 0
    assert "ARP, Request" in dump.rest()
