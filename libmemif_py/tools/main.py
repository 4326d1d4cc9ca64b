# SPDX-License-Identifier: Apache-2.0
"""The program `memif`: from the command line to an exit status."""

from __future__ import annotations

import os
import sys

from . import stop
from .extras import install_command

OK, NO_ANSWER, USAGE = 0, 1, 2
_EXTRAS = ("click", "rich")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    stop.install()
    try:
        return _run(arguments)
    except stop.Stopped as stopped:
        return stopped.status
    except BrokenPipeError:
        # The reader of our output has closed it, as `head` does. Discard what is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_ANSWER


def _run(arguments: list[str] | None) -> int:
    try:
        import click
        import rich  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        return _fail(f"{error.name} is missing. Install it: {install_command(*_EXTRAS)}", USAGE)
    from libmemif_py import MemifError

    from .cli import cli

    try:
        status = cli.main(arguments, prog_name="memif", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:
        raise
    except (MemifError, OSError) as error:
        return _fail(str(error), NO_ANSWER)
    return status if isinstance(status, int) else OK


def _fail(text: str, status: int) -> int:
    print(f"memif: {text}", file=sys.stderr)
    return status
