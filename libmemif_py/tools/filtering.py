# SPDX-License-Identifier: Apache-2.0
"""The filters of commands, in the language of tcpdump."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import click

from libmemif_py import filters
from libmemif_py.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from libmemif_py._burst import Filter

_LIKE_SOCKETS = ("/", "./", "../", "@")


class NoLibrary(click.ClickException):
    """libpcap is not installed."""

    exit_code = 2


def filter_option(text: str) -> Callable:
    """-f FILTER: the command gets it as `expression`. `text` says what it is for."""
    return click.option("-f", "--filter", "expression", metavar="FILTER", help=text)


def filter_for(expression: str, mode: str) -> Filter:
    """The filter for packets of this mode. Raises UsageError with what libpcap says of it.

    A command makes it before it opens an interface, so that a wrong one disturbs no peer.
    """
    try:
        return filters.filter_for(expression, mode, array("Q"))
    except ArgumentError as error:
        advice = ""
        if expression.startswith(_LIKE_SOCKETS):
            advice = f"; for a socket: -S {expression.split(maxsplit=1)[0]}"
        raise click.UsageError(f"{error}{advice}") from error
    except ImportError as error:
        raise NoLibrary(str(error)) from error
