# SPDX-License-Identifier: Apache-2.0
"""Runs a program under a seccomp filter, as container hosts do.

    filtered.py [--deny NAME[,NAME...]:ERRNO] [--allow FILE --others ERRNO|kill]
                [--families AF_NAME[,AF_NAME...]] COMMAND...

Sockets of other families than those fail with EAFNOSUPPORT. FILE holds the names of system
calls, one a line; names that this kernel's headers lack are nobody's here. `--deny` comes first.
"""

import argparse
import ctypes
import errno
import os
import platform
import re
import socket
import struct
import subprocess
from collections.abc import Collection, Iterable, Mapping

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # <linux/audit.h>
KILL, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000  # <linux/seccomp.h>
SET_MODE_FILTER, ALL_THREADS, NO_NEW_PRIVILEGES = 1, 1, 38
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # <linux/bpf_common.h>
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # where they are in struct seccomp_data


def numbers() -> dict[str, int]:
    """Of system calls, by name, from the headers."""
    command = ["cc", "-E", "-dM", "-include", "sys/syscall.h", "-xc", "/dev/null"]
    defines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)\n", defines)}


def failing(name: str) -> int:
    """What has a call fail with an error, given by its name."""
    return ERRNO | getattr(errno, name)


def names_in(file: str) -> list[str]:
    with open(file) as lines:
        return [name for line in lines if (name := line.partition("#")[0].strip())]


def install(
    answers: Mapping[str, int], others: int = ALLOW, families: Collection[int] = ()
) -> None:
    """A filter for this process, for good: what becomes of the calls by these names.

    With `families`, no socket can be made of others.
    """
    known = numbers()
    steps = [(LOAD, 0, 0, ARCHITECTURE)]
    steps += [(JUMP_IF_EQUAL, 1, 0, ARCHITECTURES[platform.machine()]), (RETURN, 0, 0, KILL)]
    steps += [(LOAD, 0, 0, NUMBER)]
    if families:
        steps += [(JUMP_IF_EQUAL, 0, len(families) + 3, known["socket"])]
        steps += [(LOAD, 0, 0, FIRST_ARGUMENT)]
        for left, family in zip(range(len(families), 0, -1), families, strict=True):
            steps += [(JUMP_IF_EQUAL, left, 0, family)]
        steps += [(RETURN, 0, 0, failing("EAFNOSUPPORT")), (LOAD, 0, 0, NUMBER)]
    for name, answer in answers.items():
        if name in known:
            steps += [(JUMP_IF_EQUAL, 0, 1, known[name]), (RETURN, 0, 0, answer)]
    steps += [(RETURN, 0, 0, others)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    c = ctypes.CDLL(None, use_errno=True)
    _check(c.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _check(c.syscall(known["seccomp"], SET_MODE_FILTER, ALL_THREADS, program))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def denied(wishes: Iterable[str]) -> dict[str, int]:
    """Answers from NAME,NAME:ERRNO."""
    pairs = [wish.split(":") for wish in wishes]
    return {name: failing(error) for names, error in pairs for name in names.split(",")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--deny", action="append", default=[])
    parser.add_argument("--allow")
    parser.add_argument("--others", default="EPERM")
    parser.add_argument("--families", default="")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    wishes = parser.parse_args()
    answers, others = denied(wishes.deny), ALLOW
    if wishes.allow:
        others = KILL if wishes.others == "kill" else failing(wishes.others)
        answers = dict.fromkeys(names_in(wishes.allow), ALLOW) | answers
    families = [getattr(socket, name) for name in filter(None, wishes.families.split(","))]
    install(answers, others, families)
    os.execvp(wishes.command[0], wishes.command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
