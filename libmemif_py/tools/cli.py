# SPDX-License-Identifier: Apache-2.0
"""The subcommands under one name."""

from __future__ import annotations

import importlib

import click

from libmemif_py import _install

from .options import EXAMPLES_FIRST

COMMANDS = {
    "bench": "Measure rates and latency.",
    "bridge": "Join two memif sockets, or one and a network interface.",
    "dump": "Show or record the packets that a peer sends.",
    "info": "Show which master listens on a socket.",
    "ping": "Send echo requests to an IPv4 or IPv6 address over a memif.",
    "play": "Send the packets of a pcap or pcapng file.",
    "relay": "Join two memif sockets directly: the relay passes no packets.",
    "respond": "Answer pings for IPv4 and IPv6 addresses.",
    "top": "Show queues, rates and full rings of running programs, live.",
}
_VERSION = f"""libmemif-py {_install.VERSION}
C APIs: 1.0 (libmemif.so.0), 4.0 (libmemif4/libmemif.so)
protocol versions: 256 (1.0), 512 (2.0)"""


class _Commands(click.Group):
    """Imports a command only when it is used, so that no command waits for another's imports."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"{__package__}.{name}").command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The error for an unknown name lists all names."""
        if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
            known = ", ".join(COMMANDS)
            raise click.UsageError(
                f"unknown command {arguments[0]!r}, expected one of: {known}", context
            )
        return super().resolve_command(context, arguments)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the table above, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings=EXAMPLES_FIRST)
@click.version_option(message=_VERSION, version=_install.VERSION)
def cli() -> None:
    """Tools for memif, the shared memory packet interface of VPP, DPDK and libmemif.

    \b
    See who listens on a socket, and whether it answers:
      memif info /run/vpp/memif.sock
      memif ping 192.168.1.1 -S /run/vpp/memif.sock -c 3

    \b
    See what the programs that use this library do:
      memif top

    \b
    Connect two of these commands, in two terminals:
      memif respond 192.168.1.2 -S /tmp/memif.sock
      memif ping 192.168.1.2 -S /tmp/memif.sock

    A memif has two ends: the master listens on a socket, the slave connects to it and provides the
    memory. Each of these commands is one end. `memif bridge` is one end of two memifs and joins
    them. `memif relay` is no end: it joins a slave and a master.

    Each command takes `-S SOCKET`; in info, top, bridge and relay a SOCKET may stand without -S.
    Options may stand in the same word: `-S SOCKET,role=master,id=1`. Without a socket: MEMIF_SOCKET
    if set, else /run/vpp/memif.sock; only bridge and relay need their two sides, and top shows
    running programs.

    Exit status: 0 success, 1 no answer or no connection, 2 wrong usage, 130 after Ctrl+C, except
    dump, ping and top, which Ctrl+C ends as their own end does, 143 after SIGTERM.
    """
