# SPDX-License-Identifier: Apache-2.0
"""The command `memif` in a test: started, asked, interrupted, and captures for it."""

import contextlib
import itertools
import random
import signal
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.utils import PcapNgReader, PcapReader
from testpmd import Testpmd, memif_vdev

from libmemif_py.tools.formats import pcapng
from support.builds import run
from support.programs import TIMEOUT, Program, wait_until_listening

MEMIF = [sys.executable, "-P", "-m", "libmemif_py.tools"]
COMMANDS = ["bench", "bridge", "dump", "info", "ping", "play", "relay", "respond", "top"]
ADDRESS = "10.0.0.2"
STATISTICS_BLOCK = 5
OTHER = {"master": "slave", "slave": "master"}
roles = pytest.mark.parametrize("role", ["slave", "master"])


class Shell:
    """Starts `memif` in a folder of the test's own."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack):
        self.folder = folder
        self.socket = str(folder / "m.sock")
        self._stack = stack
        self._numbers = itertools.count()

    def start(self, *words: object, **options) -> Program:
        errors = self.folder / f"errors{next(self._numbers)}"
        program = Program([*MEMIF, *map(str, words)], errors, **options)
        return self._stack.enter_context(program)

    def run(self, *words: object, status: int = 0, **options) -> subprocess.CompletedProcess[str]:
        return run([*MEMIF, *map(str, words)], status=status, cwd=self.folder, **options)

    def side(self, command: str, *words: object, role: str = "slave") -> Program:
        """A command on the socket. A master listens before this returns."""
        program = self.start(command, *words, "-S", self.socket, "--role", role)
        if role == "master":
            wait_until_listening(self.socket)
        return program


def interrupt(program: Program, status: int = 130) -> tuple[str, str]:
    """End it by Ctrl+C; its output and what it said."""
    program.send_signal(signal.SIGINT)
    assert program.wait() == status
    assert "Traceback" not in program.errors
    return program.rest(), program.errors


def packets(count: int, most: int = 3000, seed: int = 1) -> list[bytes]:
    dice = random.Random(seed)  # noqa: S311
    return [dice.randbytes(dice.randint(1, most)) for _ in range(count)]


def write_capture(path: Path, frames: list[bytes]) -> Path:
    with path.open("wb") as file:
        kind = pcapng.PcapWriter if path.suffix == ".pcap" else pcapng.PcapngWriter
        writer = kind(file)
        for number, frame in enumerate(frames):
            writer.write(frame, number)
    return path


def capture(path: Path) -> list[bytes]:
    """As scapy reads it."""
    reader = PcapReader if path.suffix == ".pcap" else PcapNgReader
    with reader(str(path)) as records:
        return [bytes(record) for record in records]


def statistics(path: Path) -> list[dict[int, int]]:
    """The numbers in the statistics blocks that a pcapng file ends with, by interface."""
    content, found = path.read_bytes(), []
    while content:
        (size,) = struct.unpack_from("<I", content, len(content) - 4)
        content, block = content[:-size], content[-size:]
        (kind,) = struct.unpack_from("<I", block)
        if kind != STATISTICS_BLOCK:
            break
        values, place = {}, 20
        while code := struct.unpack_from("<H", block, place)[0]:
            (length,) = struct.unpack_from("<H", block, place + 2)
            values[code] = block[place + 4 : place + 4 + length]
            place += 4 + length + -length % 4
        start, end = (struct.unpack("<II", values.pop(code)) for code in (2, 3))
        assert start < end
        found.insert(0, {code: int.from_bytes(value, "little") for code, value in values.items()})
    return found


def icmpecho(shell: Shell) -> Testpmd:
    vdev = memif_vdev("server", shell.socket)
    return Testpmd([vdev], ["--forward-mode=icmpecho", "--no-flush-rx"])


def ping_testpmd(shell: Shell, testpmd: Testpmd) -> str:
    """Five pings. DPDK must not forward when its peer leaves: it unmaps the rings regardless."""
    testpmd.command("start")
    ping = shell.side("ping", ADDRESS, "-i", 0.2)
    while "icmp_seq=5" not in ping.line():
        pass
    testpmd.command("stop")
    output, _ = interrupt(ping, 0)
    while testpmd.link_is_up():
        pass
    return output


def wait_for_words(program: Program, text: str, times: int = 1) -> None:
    """There is no event to wait for."""
    end = time.monotonic() + TIMEOUT
    while program.errors.count(text) < times:
        assert time.monotonic() < end, program.errors
        time.sleep(0.01)


@contextlib.contextmanager
def namespace() -> Iterator[list[str]]:
    """A network namespace; what runs a command in it."""
    name = f"memif-{uuid.uuid4().hex[:8]}"
    run(["ip", "netns", "add", name])
    try:
        inside = ["ip", "netns", "exec", name]
        run([*inside, "ip", "link", "set", "lo", "up"])
        yield inside
    finally:
        run(["ip", "netns", "delete", name])


KERNEL_PING = """
import socket, struct, sys
from libmemif_py.tools.formats.icmp import checksum
is_6 = ":" in sys.argv[1]
family = socket.AF_INET6 if is_6 else socket.AF_INET
protocol = socket.IPPROTO_ICMPV6 if is_6 else socket.IPPROTO_ICMP
sock = socket.socket(family, socket.SOCK_RAW, protocol)
sock.settimeout(1)
request = struct.pack("!BBHHH", 128 if is_6 else 8, 0, 0, 77, 1) + b"kernel"
if not is_6:
    request = request[:2] + checksum(request).to_bytes(2, "big") + request[4:]
for _ in range(60):
    try:
        sock.sendto(request, (sys.argv[1], 0))
        while True:
            reply = sock.recv(2048)[0 if is_6 else 20:]
            if reply[:1] == (b"\\x81" if is_6 else b"\\0") and reply[4:] == request[4:]:
                sys.exit(0)
    except OSError:
        pass
sys.exit(1)
"""


def ask_from_the_kernel(inside: list[str], address: str) -> None:
    run([*inside, sys.executable, "-P", "-c", KERNEL_PING, address], timeout=120)
