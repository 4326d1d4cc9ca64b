# SPDX-License-Identifier: Apache-2.0
"""`memif play` sends what a capture holds."""

import json
import struct

import pytest
from support.memif_command import capture, interrupt, packets, roles, write_capture

from libmemif_py import Interface


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
        words = ("play", source, "-S", shell.socket, "--timeout", 1)
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
def test_play_says_what_is_wrong_with_a_file(shell, content, said):
    (shell.folder / "bad").write_bytes(content)
    with Interface(shell.socket, role="master"):
        result = shell.run("play", "bad", "-S", shell.socket, status=2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_play_ends_in_peace(shell):
    source = write_capture(shell.folder / "source.pcap", packets(10))
    dump = shell.side("dump", role="master")
    play = shell.side("play", source, "--loop", 0, "--rate", 100)
    assert dump.line()
    output, _ = interrupt(play)
    assert "packets sent" in output
