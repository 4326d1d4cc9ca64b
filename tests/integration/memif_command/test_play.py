# SPDX-License-Identifier: Apache-2.0
"""`memif play` sends what a capture holds."""

import contextlib
import gzip
import importlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys

import pytest
from support.builds import run
from support.frames import PACKETS, tcpdump_keeps, written
from support.memif_command import MEMIF, capture, interrupt, packets, roles, write_capture
from support.programs import TIMEOUT

from libmemif_py import Interface, WaitError
from libmemif_py.tools.formats import pcapng
from libmemif_py.tools.formats.pcapng import Record
from libmemif_py.tools.pace import BitRate, OwnTiming, Pace, PacketRate


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
@roles
def test_what_is_played_is_dumped_byte_for_byte(shell, suffix, role):
    frames = packets(1000, most=9000)
    source = write_capture(shell.folder / f"source.{suffix}", frames)
    target = shell.folder / f"target.{suffix}"
    first = ("dump", "-w", target, "-c", 2 * len(frames))
    second = ("play", source, "--loop", 2, "--json")
    if role == "slave":
        dump = shell.side(*first, role="master")
        play = shell.side(*second, role="slave")
    else:
        dump = shell.side(*first, role="slave")
        play = shell.side(*second, role="master")
    assert (play.wait(), dump.wait()) == (0, 0)
    assert json.loads(play.rest())["packets"] == 2 * len(frames)
    assert capture(target) == frames * 2


def test_play_keeps_to_a_rate_and_says_when_nobody_receives(shell):
    source = write_capture(shell.folder / "source.pcapng", packets(40, most=60))
    with Interface(shell.socket, role="master"):
        words = ("play", source, "-S", shell.socket, "--wait", 1)
        result = shell.run(*words, "--ring-size", 16, status=1)
        assert "the ring stays full for 1 s" in result.stderr
        assert result.stdout.startswith("16 packets sent")
    dump = shell.side("dump", "-c", 40, role="master")
    result = json.loads(
        shell.run("play", source, "-S", shell.socket, "--rate", 200, "--json").stdout
    )
    assert result["packets_per_second"] < 220
    assert dump.wait() == 0


def test_play_counts_what_is_left_in_packets(shell):
    source = write_capture(shell.folder / "source.pcapng", [bytes(9000)] * 3)
    with Interface(shell.socket, role="master"):
        result = shell.run("play", source, "-S", shell.socket, status=1)
    assert "3 packets were left in the ring by the other end" in result.stderr


BAD_CAPTURES = {
    b"": "begins with nothing",
    b"GIF89a": "begins with 47 49 46 38",
    struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1): "no packets",
    struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 105): "no packets",
    struct.pack(
        "<IHHiIIIIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1, 0, 0, 9, 9
    ): "ends within packet 1",
    struct.pack("<IHHiIIIIIIIB", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 9, 0, 0, 1, 1, 1): "link type 9",
    struct.pack("<IIIHHq", 0x0A0D0D0A, 28, 7, 1, 0, -1): "byte order 07 00 00 00",
    struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 27): "28 before and 27 behind",
}


@pytest.mark.parametrize(("content", "said"), BAD_CAPTURES.items())
def test_play_says_what_is_wrong_with_a_file_before_it_waits_for_a_link(shell, content, said):
    (shell.folder / "bad").write_bytes(content)
    result = shell.run("play", "bad", "-S", shell.socket, "--wait", "forever", status=2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_play_ends_in_peace(shell):
    source = write_capture(shell.folder / "source.pcap", packets(10))
    dump = shell.side("dump", role="master")
    play = shell.side("play", source, "--loop", 0, "--rate", 100)
    assert dump.line()
    output, _ = interrupt(play)
    assert "packets sent" in output


def test_after_ctrl_c_the_counts_are_what_the_other_end_received(shell):
    source = write_capture(shell.folder / "source.pcap", packets(100, most=3000))
    for _ in range(5):
        with Interface(shell.socket, role="master") as ours:
            play = shell.side("play", source, "--loop", 0, "--json")
            received = ours.recv_burst(timeout=TIMEOUT)
            play.send_signal(signal.SIGINT)
            while ours.connected:
                with contextlib.suppress(WaitError):
                    received += ours.recv_burst(timeout=0.1)
            with contextlib.suppress(WaitError):
                while True:
                    received += ours.recv_burst(timeout=0)
            assert play.wait() == 130
        found = json.loads(play.rest())
        counts = found["packets"], found["bytes"], found["left"]
        assert counts == (len(received), sum(map(len, received)), 0)


def test_play_sends_what_a_pipe_brings_when_it_comes(shell):
    frames = packets(300, most=500)
    source = write_capture(shell.folder / "source.pcapng", frames).read_bytes()
    pipe = shell.folder / "pipe"
    os.mkfifo(pipe)
    with Interface(shell.socket, role="master") as ours:
        play = shell.side("play", pipe)
        with pipe.open("wb", buffering=0) as writer:
            # A long silence follows the first packet: it does not wait for others.
            first = write_capture(shell.folder / "first.pcapng", frames[:1]).stat().st_size
            writer.write(source[:first])
            assert ours.recv(TIMEOUT) == frames[0]
            writer.write(source[first:])
        assert [ours.recv(TIMEOUT) for _ in frames[1:]] == frames[1:]
        assert play.wait() == 0
    assert play.rest().startswith("300 packets sent, ")


def test_play_reads_stdin_once(shell):
    frames = packets(300, most=500)
    source = write_capture(shell.folder / "source.pcap", frames)
    command = [*MEMIF, "play", "-", "-S", shell.socket]
    # Through a pipe, not the file itself.
    result = subprocess.run(
        [*command, "--loop", "2"],
        input=source.read_bytes(),
        stderr=subprocess.PIPE,
        timeout=TIMEOUT,
        check=False,
    )
    assert result.returncode == 2
    assert b"stdin: can be read only once, expected a file for --loop" in result.stderr
    with Interface(shell.socket, role="master") as ours:
        with subprocess.Popen(command, stdin=subprocess.PIPE) as play:
            play.stdin.write(source.read_bytes())
            play.stdin.close()
            assert [ours.recv(TIMEOUT) for _ in frames] == frames
        assert play.returncode == 0


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_all_whole_packets_of_a_cut_file_are_sent(shell, suffix):
    frames = packets(300, most=500)
    source = write_capture(shell.folder / f"source.{suffix}", frames)
    source.write_bytes(source.read_bytes()[:-20])
    dump = shell.side("dump", "-w", shell.folder / "target.pcap", "-c", 299, role="master")
    result = shell.run("play", source, "-S", shell.socket, status=2)
    assert dump.wait() == 0
    assert capture(shell.folder / "target.pcap") == frames[:299]
    assert "ends within " in result.stderr
    assert "(after 299 packets were sent)" in " ".join(result.stderr.split())
    assert result.stdout.startswith("299 packets sent, ")


def test_play_leaves_no_part_of_its_progress_bar_before_the_summary(shell):
    source = write_capture(shell.folder / "source.pcap", packets(300))
    dump = shell.side("dump", "-c", 300, role="master")
    terminal, program_side = pty.openpty()
    try:
        command = [*MEMIF, "play", str(source), "-S", shell.socket, "--rate", "2000"]
        ends = {"stdout": program_side, "stderr": program_side}
        with subprocess.Popen(command, env={**os.environ, "TERM": "xterm"}, **ends) as play:
            os.close(program_side)
            output = b""
            with contextlib.suppress(OSError):  # EIO: the program has ended
                while chunk := os.read(terminal, 65536):
                    output += chunk
        assert (play.returncode, dump.wait()) == (0, 0)
    finally:
        os.close(terminal)
    assert "source.pcap" in output.decode()
    # The last thing before the summary erases the line of the bar.
    assert re.search(rb"\x1b\[2K[\r\n]*(disconnected [^\n]*\n)?300 packets sent", output), output[
        -300:
    ]


def due(pace: Pace, times: list[float], size: int = 125) -> list[float | None]:
    """When packets of a capture with these times, in seconds, are sent."""
    records = [Record(bytes(size), int(time * 10**9), size, 1) for time in times]
    return [pace.due(record) for record in records]


def test_packets_are_due_at_the_times_of_the_capture():
    times = [100, 100.5, 102, 102, 101, 103]  # the clock of the capture was once set back
    assert due(OwnTiming(), times) == [0, 0.5, 2, 2, 2, 4]
    assert due(OwnTiming(multiplier=4), times) == [0, 0.125, 0.5, 0.5, 0.5, 1]
    assert due(OwnTiming(), [0, 0, 100, 101]) == [0, 0, 0, 1]  # some packets have no time
    pace = OwnTiming()
    assert due(pace, [100, 101]) == [0, 1]
    pace.new_round()
    assert due(pace, [100, 101]) == [1, 2]


def test_packets_are_due_at_a_rate_or_at_once():
    times = [100.0, 500, 900, 901]
    assert due(PacketRate(4), times) == [0, 0.25, 0.5, 0.75]
    assert due(BitRate(0.004), times) == [0, 0.25, 0.5, 0.75]
    assert due(Pace(), times) == [None] * 4


@pytest.mark.parametrize(
    ("words", "least"),
    [
        ((), 0.3),
        (("--multiplier", 2), 0.15),
        (("-x", 2, "-l", 2), 0.3),
        (("--pps", 20), 0.15),
        (("--mbps", 0.01), 0.144),
        (("-t",), 0),
    ],
)
def test_no_packet_is_sent_before_it_is_due(shell, words, least):
    with (shell.folder / "source.pcap").open("wb") as file:
        writer = pcapng.PcapWriter(file)
        for number in range(4):
            writer.write(bytes(60), 10**18 + number * 100_000_000)
    with Interface(shell.socket, role="master") as ours:
        play = shell.side("play", file.name, "--json", *words)
        rounds = 2 if "-l" in words else 1
        assert [ours.recv(TIMEOUT) for _ in range(4 * rounds)] == [bytes(60)] * 4 * rounds
        assert play.wait() == 0
    assert json.loads(play.rest())["seconds"] >= least


def zstd_compressed(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        return importlib.import_module("compression.zstd").compress(data)
    return importlib.import_module("zstandard").compress(data)


COMPRESSIONS = {"gz": gzip.compress, "zst": zstd_compressed}
each_compression = pytest.mark.parametrize("suffix", COMPRESSIONS)


@each_compression
@pytest.mark.parametrize("way", ["file", "loop", "stdin"])
def test_compressed_captures_are_played(shell, suffix, way):
    frames = packets(300, most=500)
    compress = COMPRESSIONS[suffix]
    whole = write_capture(shell.folder / "source.pcapng", frames).read_bytes()
    # Two parts, as of files that were joined.
    data = compress(whole[:1000]) + compress(whole[1000:])
    source = shell.folder / f"source.pcapng.{suffix}"
    source.write_bytes(data)
    words = {"file": [source], "loop": [source, "--loop", "2"], "stdin": ["-"]}[way]
    with Interface(shell.socket, role="master") as ours:
        command = [*MEMIF, "play", *map(str, words), "-S", shell.socket]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as play:
            with contextlib.suppress(BrokenPipeError):
                play.stdin.write(data if way == "stdin" else b"")
                play.stdin.close()
            expected = frames * (2 if way == "loop" else 1)
            assert [ours.recv(TIMEOUT) for _ in expected] == expected
        assert play.returncode == 0


@each_compression
def test_the_whole_packets_of_a_cut_compressed_capture_are_sent(shell, suffix):
    frames = packets(3000, most=500)  # several blocks of zstd
    whole = write_capture(shell.folder / "source.pcap", frames).read_bytes()
    source = shell.folder / f"source.pcap.{suffix}"
    source.write_bytes(COMPRESSIONS[suffix](whole)[:-3000])
    dump = shell.side("dump", "-w", shell.folder / "target.pcap", role="master")
    result = shell.run("play", source, "-S", shell.socket, status=2)
    interrupt(dump, 0)
    sent = capture(shell.folder / "target.pcap")
    assert sent == frames[: len(sent)]
    assert len(sent) > 500
    assert f"(after {len(sent)} packets were sent)" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("start", ["1f8b", "1f8b0800", "28b52ffd", "28b52ffd00112233445566"])
def test_a_broken_compressed_file_is_named(shell, start):
    (shell.folder / "bad").write_bytes(bytes.fromhex(start))
    result = shell.run("play", "bad", "-S", shell.socket, status=2)
    assert "bad: " in result.stderr
    assert "Traceback" not in result.stderr


def test_without_the_package_for_zstd_the_error_names_it(shell):
    (shell.folder / "a.pcap.zst").write_bytes(zstd_compressed(b""))
    program = (
        "import sys; from libmemif_py.tools.main import main; "
        "sys.modules['compression.zstd'] = sys.modules['zstandard'] = None; "
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-P", "-c", program, "play", "a.pcap.zst"]
    result = run(command, status=2, cwd=shell.folder)
    assert "a.pcap.zst: is compressed with zstd, which needs a package" in result.stderr
    assert "zstandard" in result.stderr


def test_only_packets_that_match_are_played(shell):
    source = shell.folder / "source.pcap"
    source.write_bytes(written(PACKETS))
    expected = tcpdump_keeps(PACKETS, "icmp or vlan 5")
    with Interface(shell.socket, role="master") as ours:
        play = shell.side("play", source, "-f", "icmp or vlan 5", "--json")
        assert [ours.recv(TIMEOUT) for _ in expected] == expected
        assert play.wait() == 0
    counts = json.loads(play.rest())
    assert (counts["packets"], counts["filtered"]) == (
        len(expected),
        len(PACKETS) - len(expected),
    )


WRONG_WORDS = {
    ("-f", "icmp or"): "syntax error",
    ("-f", "less 0"): f"none of its {len(PACKETS)} packets matches the filter",
    ("--pps", "1", "--topspeed"): "exclude each other",
    ("--multiplier", "2", "--mbps", "1"): "exclude each other",
    ("--multiplier", "0"): "not in the range x>0",
}


@pytest.mark.parametrize(("words", "said"), WRONG_WORDS.items())
def test_wrong_words_are_refused_before_the_command_waits(shell, words, said):
    source = shell.folder / "source.pcap"
    source.write_bytes(written(PACKETS))
    words = ("play", source, "-S", shell.socket, "--wait", "forever", *words)
    assert said in " ".join(shell.run(*words, status=2).stderr.split())
