# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces joined by a cable: what two hosts are, as far as packets can tell."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import ExitStack

CABLE = "veth0"
"""The name of the cable's end, in either namespace."""

# A cable with nothing to carry but what the programs send: the kernel would announce itself.
_NO_IPV6 = "f=/proc/sys/net/ipv6/conf/default/disable_ipv6; [ ! -e $f ] || echo 1 >$f"


class NetworkError(RuntimeError):
    """`ip` could not do what it was asked."""


@dataclass(frozen=True)
class Host:
    """One network namespace."""

    name: str

    def command(self, *command: object) -> list[str]:
        """The command line that runs a command there.

        The command replaces every program before it, so that the process that is started is the
        command itself, and it does not outlive the thread that started it, whatever ends that.
        """
        words = "setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.name, *command
        return [str(word) for word in words]


def two_hosts(stack: ExitStack) -> tuple[Host, Host]:
    """Both, removed with the stack. Raises NetworkError."""
    # The names tell whose they are: no two processes have a pid at the same time.
    hosts = Host(f"two-hosts-{os.getpid()}-a"), Host(f"two-hosts-{os.getpid()}-b")
    for host in hosts:
        _ip("netns", "add", host.name)
        stack.callback(_ip, "netns", "delete", host.name)
        _ip("netns", "exec", host.name, "sh", "-c", _NO_IPV6)
    left, right = hosts
    # Made inside: it was never to be seen from outside, and goes with the namespaces.
    cable = "type", "veth", "peer", "name", CABLE, "netns", right.name
    _ip("-netns", left.name, "link", "add", CABLE, *cable)
    for host in hosts:
        _ip("-netns", host.name, "link", "set", CABLE, "up")
    return hosts


def _ip(*arguments: str) -> None:
    # Away from the terminal's Ctrl+C: half a namespace is worse than a late end.
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode != 0:
        raise NetworkError(
            f"`ip {' '.join(arguments)}` ended with status {done.returncode}: "
            f"{done.stderr.strip()} (this needs root and the right to make namespaces: in a "
            "container, CAP_SYS_ADMIN and CAP_NET_ADMIN)"
        )
