# SPDX-License-Identifier: Apache-2.0
"""No peer holds up Python as a whole, whatever it makes of the eventfds: also not one of our own
user, and not where the kernel or a filter lacks the calls that never wait.

Each case is a process of its own, which an alarm ends should all of its threads stand still.
"""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import ctypes, os, signal, struct, sys, threading, time
signal.alarm(60)
sys.path[:0] = sys.argv[2:]

def deny(number):  # with ENOSYS, as a kernel that has no such call
    allow, refuse = 0x7FFF0000, 0x00050000 | 38
    program = struct.pack(
        "HBBIHBBIHBBIHBBI",
        0x20, 0, 0, 0,  # load the number
        0x15, 0, 1, number,
        0x06, 0, 0, refuse,
        0x06, 0, 0, allow,
    )
    buffer = ctypes.create_string_buffer(program)
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, fprog, 0, 0) == 0, os.strerror(ctypes.get_errno())

for number in DENIED:
    deny(number)
from libmemif_py import Interface, Timeout
from libmemif_py.control import wire
from support.raw_slave import BUFFER, M2S, SLOTS, RawSlave

def published(peer):
    return struct.unpack_from("<H", peer.memory, M2S + 64)[0]

def expect(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind:
        return
    raise AssertionError(f"{call} raised no {kind}")

def check_others(path):
    with Interface(path, id=1) as end:
        end.send(b"there", 20)
        assert other.recv(20) == b"there"
        other.send(b"back", 20)
        assert end.recv(20) == b"back"

path = sys.argv[1]
with (
    Interface(path, role="master") as master,
    Interface(path, role="master", id=1) as other,
    RawSlave(path) as peer,
):
    assert isinstance(peer.connect(), wire.Connected)
    master.wait_connected(20)
"""

FULL = """
    os.eventfd_write(peer.efds[1], 2**64 - 2)
    for efd in peer.efds:
        os.set_blocking(efd, True)
"""

SENDS_AT_ONCE = """
    for _ in range(SLOTS // 2):
        master.send(b"into a full counter", 20)
    with master.tx_burst(1, 64, 20):
        pass
    check_others(path)
    print("done")
"""

# Published comes before the signal, and this thread runs, so the other is inside without the lock.
SENDS_ALONE = """
    thread = threading.Thread(target=master.send, args=(b"into a full counter", 20))
    thread.start()
    while published(peer) != 1:
        time.sleep(0)
    expect(Timeout, master.send, b"beside it", 0)
    expect(Timeout, master.send_burst, [b"beside it"], 0)
    expect(Timeout, master.tx_burst, 1, 64, 0)
    assert published(peer) == 1
    check_others(path)
    END
    thread.join()
    print("done")
"""

RECEIVES_AT_ONCE = """
    for efd in peer.efds:
        os.set_blocking(efd, True)
    expect(Timeout, master.recv, 0)
    peer.send(1)
    assert len(master.recv(20)) == BUFFER
    expect(Timeout, master.rx_burst, 1, 0)
    check_others(path)
    master.close()
    print("done")
"""

# By the machine: io_setup, preadv2.
NUMBERS = {"x86_64": (206, 327), "aarch64": (0, 286)}
needs_numbers = pytest.mark.skipif(
    platform.machine() not in NUMBERS, reason="the numbers of its system calls are not known here"
)


def run(tmp_path: Path, body: str, denied: tuple[int, ...] = ()) -> None:
    program = PRELUDE.replace("DENIED", repr(denied)) + body
    command = [sys.executable, "-P", "-c", program, tmp_path / "socket", Path(__file__).parents[1]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_full_eventfd_that_waits_holds_no_sender_up(tmp_path):
    run(tmp_path, FULL + SENDS_AT_ONCE)


@needs_numbers
@pytest.mark.parametrize("end", ["os.eventfd_read(peer.efds[1])", "master.close()"])
def test_without_aio_it_holds_up_the_one_thread_that_sends(tmp_path, end):
    denied = NUMBERS[platform.machine()][:1]
    run(tmp_path, FULL + SENDS_ALONE.replace("END", end), denied)


@needs_numbers
def test_without_preadv2_an_empty_one_holds_no_receiver_up(tmp_path):
    run(tmp_path, RECEIVES_AT_ONCE, NUMBERS[platform.machine()][1:])
