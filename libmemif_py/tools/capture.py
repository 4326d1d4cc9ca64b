# SPDX-License-Identifier: Apache-2.0
"""The files that commands record packets into."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from .formats import pcapng

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_LINK_TYPES = {
    "ethernet": pcapng.ETHERNET,
    "ip": pcapng.RAW_IP,
    "punt-inject": pcapng.USER0,
}
_TIMES = "times of reception; packets that were received together have the same time"


def writer_for(
    file: pcapng.Output,
    path: str,
    form: str | None,
    mode: str,
    snaplen: int,
    names: tuple[str, ...] = ("memif",),
    expression: str = "",
) -> pcapng.Writer:
    """A writer for --format, else for the suffix: .pcap and .cap mean pcap, all others pcapng."""
    link_type = _LINK_TYPES[mode]
    form = form or ("pcap" if path.endswith((".pcap", ".cap")) else "pcapng")
    if form == "pcap":
        return pcapng.PcapWriter(file, link_type, snaplen)
    return pcapng.PcapngWriter(file, link_type, snaplen, names, _TIMES, expression)


@contextlib.contextmanager
def output(path: str) -> Iterator[BinaryIO]:
    """The file to record into. "-" is stdout, unless that is a terminal. Raises UsageError."""
    if path == "-":
        if sys.stdout.isatty():
            raise click.UsageError(
                "-w - would write a capture to the terminal: pipe it to a program, as in "
                "`| wireshark -k -i -`"
            )
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = open(path, "wb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise click.UsageError(
            f"-w {path}: {error.strerror}, expected a file that can be written"
        ) from error
    with file:
        yield file
