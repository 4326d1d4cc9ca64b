# SPDX-License-Identifier: Apache-2.0
"""What faults.c does, for the Python package: `faults.py SOCKET calls|fds [all]`, `once [CALL]`.

A round connects, exchanges packets and closes, all under the fault. `once` is told the call that is
denied: it waits for no more than an error that names it.
"""

import ctypes
import errno
import os
import resource
import sys
import time

from libmemif_py import Interface, MemifError, Timeout

PATIENCE = 30
A_MOMENT = 0.05  # when it does not come up within it, it is made anew
path, kind, *options = sys.argv[1:]
is_complete = options == ["all"]
program = ctypes.CDLL(None)


def _words(text: str) -> list[str]:
    return text.split()


CALLS = _words("""
    malloc calloc realloc mmap mprotect munmap memfd_create ftruncate64 fcntl64 ioctl fstatvfs64
    eventfd eventfd_write eventfd_read epoll_create1 epoll_ctl epoll_wait timerfd_create
    timerfd_settime read write socket bind listen connect accept4 sendmsg recvmsg shutdown
    getsockname getsockopt setsockopt open64 openat64 stat64 lstat64 fstat64 fstatat64 unlink
    unlinkat renameat flock readlink close syscall
""")


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def shared_mappings() -> int:
    with open("/proc/self/maps") as maps:
        return sum("/memfd:" in line and "libmemif-stats" not in line for line in maps)


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
    """The calls of one function. Those of all, in the order of two threads, come never alike."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self.shift = CALLS.index(name)  # not the first error of each

    def begin(self, number: int, kind: int) -> None:
        program.failing_only(self._name)
        program.failing_arm(number, kind)

    def end(self) -> str:
        program.failing_disarm.restype = ctypes.c_char_p
        name = (program.failing_disarm() or b"").decode()
        return name and f"{name}|{errno.errorcode[program.failing_error()]}"

    def kinds(self) -> int:
        return program.failing_kinds()


class Descriptors:
    shift = 0

    def begin(self, number: int, _kind: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_fds() - 1 + number, most))

    def end(self) -> str:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, most), most))
        return "a descriptor|"

    def kinds(self) -> int:
        return 1


def expect_nothing_left(what: str) -> None:
    if (left := open_fds() - before) or shared_mappings():
        sys.exit(f"{what}: {left} fds, {shared_mappings()} mappings left")
    # An error of unlink is no file less; neither is a file that cannot be looked at or locked.
    excuses = any(call in what for call in ("unlink", "stat", "flock"))
    if (files := os.listdir(os.path.dirname(path))) and not excuses:
        sys.exit(f"{what}: {files} left")


def play_round(fault: Calls | Descriptors, number: int, kind: int) -> bool:
    """True while there are more to come."""
    error = None
    fault.begin(number, kind)
    try:
        connect(A_MOMENT)
    except (MemifError, OSError, MemoryError) as raised:
        error = raised
    what = fault.end()
    if what:
        code = getattr(error, "code", getattr(error, "errno", None))
        print(what, code, error, "down" if error else "up", sep="|", flush=True)
    expect_nothing_left(what)
    return what != "" and (isinstance(fault, Calls) or error is not None)


def play(fault: Calls | Descriptors) -> None:
    number = 0
    while True:
        kinds, kind = 1, 0
        while kind < kinds:
            if not play_round(fault, number, kind if is_complete else number + fault.shift):
                return
            kinds, kind = fault.kinds() if is_complete else 1, kind + 1
            if not is_complete or os.listdir(os.path.dirname(path)):
                connect(PATIENCE)
        number += 1


def play_once() -> None:
    error: Exception | None = None
    try:
        with (
            Interface(path, role="master", ring_size=16, socket_mode=0o600) as master,
            Interface(path, ring_size=16) as slave,
        ):
            wait_until_connected_or_named(master, slave)
            for sender, receiver in ((master, slave), (slave, master)):
                for mode in ("polling", "interrupt"):
                    receiver.set_rx_mode(mode)
                    sender.send(b"packet", PATIENCE)
                    assert receiver.recv(PATIENCE) == b"packet"
    except (MemifError, OSError) as raised:
        error = raised
    print("once", getattr(error, "code", 0), error, "down" if error else "up", sep="|")


def wait_until_connected_or_named(master: Interface, slave: Interface) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            slave.wait_connected(A_MOMENT)
            master.wait_connected(A_MOMENT)
            return
        except Timeout as error:
            texts = (str(error), last_error(master), last_error(slave))
            if any(f"{name}: " in text for text in texts for name in options):
                raise Timeout(", ".join(texts)) from error
            if time.monotonic() > end:
                raise


def last_error(interface: Interface) -> str:
    try:
        interface.wait_connected(0)
    except Timeout as error:
        return str(error)
    return ""


if kind == "once":
    play_once()
    sys.exit()
connect(PATIENCE)
before = open_fds()
if kind == "fds":
    play(Descriptors())
else:
    for name in CALLS:
        play(Calls(name))
connect(PATIENCE)
expect_nothing_left("")
