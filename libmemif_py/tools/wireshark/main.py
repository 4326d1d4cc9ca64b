# SPDX-License-Identifier: Apache-2.0
"""The program `memif-extcap`, which Wireshark starts: from the command line to an exit status."""

from __future__ import annotations

import contextlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO

from .. import stop
from ..extras import install_command
from ..main import NO_ANSWER, OK, USAGE, run
from .sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAME = "memif-extcap"
_EXTRAS = ("click",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one question of Wireshark, or capture; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    capturing = "--capture" in words
    try:
        stop.install()
        if "--extcap-interfaces" in words and find_spec("click") is None:
            # Wireshark shows its user what is on stdout alone.
            text = f"memif: click is missing: {install_command(*_EXTRAS)}"
            print(sentence("interface", value="memif", display=text))
            return OK
        with _output(words) as file:
            return run(_NAME, _EXTRAS, lambda: _command(words, file))
    except OSError as error:
        print(f"{_NAME}: {error}", file=sys.stderr)
        return NO_ANSWER
    except BaseException as error:
        status = stop.status_of(error)
        if status is None:
            raise
        # This is how Wireshark ends a capture.
        return OK if capturing else status


def _command(words: list[str], file: BinaryIO | None) -> object:
    import click

    from .command import command

    try:
        status = command.main(words, prog_name=_NAME, standalone_mode=False, obj=file)
    except click.UsageError as error:
        # Wireshark's user did not type the command, so there is nothing to tell of its usage.
        print(f"{_NAME}: {error.format_message()}", file=sys.stderr)
        return USAGE
    sys.stdout.flush()
    return status


@contextlib.contextmanager
def _output(words: list[str]) -> Iterator[BinaryIO | None]:
    """The file after --fifo, open whatever else is wrong: Wireshark waits until it is."""
    path = words[words.index("--fifo") + 1] if "--fifo" in words[:-1] else None
    if path is None:
        yield None
        return
    file = open(path, "wb")  # noqa: SIM115 - closed below
    try:
        yield file
    finally:
        # Wireshark may have closed its end, and then wants nothing of what is left.
        with contextlib.suppress(BrokenPipeError):
            file.close()


if __name__ == "__main__":
    sys.exit(main())
