#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Python program and a C program talk over memif, each on a host of its own.

    pings.py -- memif -- testpmd == cable == testpmd -- memif -- icmp_responder
    `------------ host a ------------'       `------------- host b -----------'

The hosts are network namespaces and the cable is a veth pair. Makes them, shows pings and packets
per second over the whole way, and removes everything, also after an error or a signal. Needs root.
Ends with status 0 when every ping was answered.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from interrupts import Interrupts
from network import NetworkError, two_hosts
from programs import MEMIF, Program, ProgramError, Switch

HERE = Path(__file__).resolve().parent
MOST_PACKETS = 65536  # as many as ICMP has sequence numbers


def find_responder() -> str | None:
    """The C program: beside the interpreter, as `./bootstrap two-hosts` installs it, or on PATH."""
    folders = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return shutil.which("icmp_responder", path=folders)


def what_is_missing() -> str | None:
    """What has to be there before anything is made."""
    if os.geteuid() != 0:
        return "making network namespaces needs root: run it with sudo"
    tools = [tool for tool in ("ip", "setpriv", "dpdk-testpmd") if shutil.which(tool) is None]
    if find_responder() is None:
        tools.append("icmp_responder")
    return f"{', '.join(tools)}: not found; `./bootstrap two-hosts` installs it" if tools else None


def show_way(sides: dict[str, dict[str, int]]) -> None:
    """What each switch counted: a loss lies between two numbers that should be equal."""
    columns = ("from memif", "to cable", "from cable", "to memif", "dropped")
    print("\n" + f"{'packets':16}" + "".join(f"{column:>12}" for column in columns), flush=True)
    for name, counted in sides.items():
        print(f"{name:16}" + "".join(f"{counted[column]:12,}" for column in columns), flush=True)


def run(interrupts: Interrupts, stack: contextlib.ExitStack, count: int) -> int:
    """From the first namespace to the last counter; what is left is the stack's to remove."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="two-hosts-")))
    left, right = two_hosts(stack)
    print(f"hosts: network namespaces {left.name} and {right.name}", flush=True)
    switches = {
        "testpmd, host a": Switch(stack, left, folder / "a"),
        "testpmd, host b": Switch(stack, right, folder / "b"),
    }
    responder = Program(
        stack,
        right.command(find_responder(), "-s", f"@{MEMIF}"),
        folder / "icmp_responder.log",
    )
    responder.write("conn 0\n")
    pings = Program(
        stack,
        left.command(sys.executable, HERE / "pings.py", MEMIF, count),
        folder / "pings.py.log",
        stdout=subprocess.PIPE,
    )
    others = [*switches.values(), responder]
    print("started: pids", *(program.pid for program in (*others, pings)), flush=True)
    with interrupts.allowed():
        for text in pings.output_beside(others):
            print(text, end="", flush=True)
        show_way({name: switch.stop() for name, switch in switches.items()})
        # The programs outlive their switches: to both it is a link that went down.
        responder.check_alive()
        responder.terminate()
        responder.wait()
        pings.end_input()
        pings.wait()
    return 0


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--packets",
        type=int,
        default=20_000,
        metavar="N",
        help=f"for the packets per second, 1 to {MOST_PACKETS}; default %(default)s",
    )
    options = parser.parse_args()
    if not 1 <= options.packets <= MOST_PACKETS:
        parser.error(f"--packets {options.packets}: expected 1 to {MOST_PACKETS}")
    problem = what_is_missing()
    if problem is not None:
        print(f"two_hosts: {problem}", file=sys.stderr)
        return 1
    interrupts = Interrupts()
    try:
        with contextlib.ExitStack() as stack:
            status = run(interrupts, stack, options.packets)
    except (NetworkError, ProgramError) as error:
        print(f"two_hosts: {error}", file=sys.stderr)
        status = 1
    interrupts.deliver()
    return status


if __name__ == "__main__":
    sys.exit(main())
