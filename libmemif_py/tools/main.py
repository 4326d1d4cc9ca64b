# SPDX-License-Identifier: Apache-2.0
"""The program `memif`: from the command line to an exit status."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from . import stop
from .extras import install_command

if TYPE_CHECKING:
    from collections.abc import Callable

OK, NO_ANSWER, USAGE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        stop.install()
        return run("memif", ("click", "rich"), lambda: _command(arguments))
    except BrokenPipeError:
        # The reader of our output has closed it, as `head` does. Discard what is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_ANSWER
    except BaseException as error:
        status = stop.status_of(error)
        if status is None:
            raise
        return status


def _command(arguments: list[str] | None) -> object:
    from .cli import cli

    status = cli.main(arguments, prog_name="memif", standalone_mode=False)
    sys.stdout.flush()
    return status


def run(program: str, extras: tuple[str, ...], command: Callable[[], object]) -> int:
    """Call a command of click, and say what fails; returns the exit status.

    `extras` are the optional packages that it needs.
    """
    lacking = [name for name in extras if not _is_there(name)]
    if lacking:
        text = f"{lacking[0]} is missing. Install it: {install_command(*extras)}"
        return _fail(program, text, USAGE)
    import click

    from libmemif_py import MemifError

    try:
        status = command()
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        return _fail(program, error.format_message(), error.exit_code)
    except BrokenPipeError:
        raise
    except (MemifError, OSError) as error:
        return _fail(program, str(error), NO_ANSWER)
    return status if isinstance(status, int) else OK


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return False
    return True


def _fail(program: str, text: str, status: int) -> int:
    print(f"{program}: {text}", file=sys.stderr)
    return status
