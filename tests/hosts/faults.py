# SPDX-License-Identifier: Apache-2.0
"""What faults.c does, for the Python package: `faults.py SOCKET calls|fds`."""

import ctypes
import os
import resource
import sys

from libmemif_py import Interface, MemifError

PATIENCE = 30
A_MOMENT = 0.05  # when it does not come up within it, it is made anew
path, kind = sys.argv[1:]
program = ctypes.CDLL(None)


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def shared_mappings() -> int:
    with open("/proc/self/maps") as maps:
        return sum("/memfd:" in line for line in maps)


def connect(timeout: float) -> None:
    with (
        Interface(path, role="master", ring_size=16) as master,
        Interface(path, ring_size=16) as slave,
    ):
        slave.wait_connected(timeout)
        master.wait_connected(timeout)
        for sender, receiver in ((master, slave), (slave, master)):
            sender.send(b"packet", timeout)
            assert receiver.recv(timeout) == b"packet"


class Calls:
    def begin(self, number: int) -> None:
        program.failing_arm(number)

    def end(self) -> str:
        program.failing_disarm.restype = ctypes.c_char_p
        return (program.failing_disarm() or b"").decode()


class Descriptors:
    def begin(self, number: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_fds() - 1 + number, most))

    def end(self) -> str:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, most), most))
        return "a descriptor"


def play_round(fault: Calls | Descriptors, number: int) -> bool:
    """True while there are more to come."""
    error = None
    fault.begin(number)
    try:
        connect(A_MOMENT)
    except (MemifError, OSError, MemoryError) as raised:
        error = raised
    what = fault.end()
    connect(PATIENCE)
    if not what:
        return False
    code = getattr(error, "code", getattr(error, "errno", None))
    print(what, code, error, "down" if error else "up", sep="|", flush=True)
    return isinstance(fault, Calls) or error is not None


connect(PATIENCE)
before = open_fds()
fault = {"calls": Calls, "fds": Descriptors}[kind]()
number = 0
while play_round(fault, number):
    number += 1
    if open_fds() != before or shared_mappings() != 0:
        sys.exit(f"round {number}: {open_fds() - before} fds, {shared_mappings()} mappings left")
