# SPDX-License-Identifier: Apache-2.0
"""Starts coverage.py in an interpreter, for ./bootstrap coverage.

It lies among the packages of the measured installation. There a .pth file imports it in every
Python program, and the C libraries import it first of all in the interpreter that they embed.
"""

import sys
from pathlib import Path

import coverage

SETTINGS = Path(__file__).with_suffix(".ini")
# Of the interpreter in a C library: see start_isolated in native/embed/interpreter.c.
EMBEDDED = "/libmemif"


def save_at_exit(running: coverage.Coverage) -> None:
    """Save when the C program ends: nobody finalizes its interpreter, so atexit is of no use.

    What a signal ends, or _exit, is lost.
    """
    import ctypes

    def save(_: object) -> None:
        running.stop()
        running.save()

    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(save)
    save_at_exit.callback = callback  # type: ignore[attr-defined] # lives as long as the process
    ctypes.CDLL(None).__cxa_atexit(callback, None, None)


if coverage.Coverage.current() is None:
    # As coverage.process_startup does it, which an environment without variables would hide from.
    own = coverage.Coverage(config_file=str(SETTINGS), auto_data=True)
    own._warn_no_data = False
    own._warn_unimported_source = False
    own._warn_preimported_source = False
    own.start()
    if sys.executable == EMBEDDED:
        save_at_exit(own)
