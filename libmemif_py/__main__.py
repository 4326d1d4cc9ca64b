# SPDX-License-Identifier: Apache-2.0
"""`python -m libmemif_py`: what a C build needs to use this package's copy of the library."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from . import _install

_PACKAGE = Path(__file__).resolve().parent


def _installed() -> tuple[Path, Path]:
    """Folders of the headers and of the library."""
    return (_PACKAGE / _install.INCLUDEDIR).resolve(), (_PACKAGE / _install.LIBDIR).resolve()


def cflags() -> list[str]:
    """Compiler arguments."""
    return [f"-I{_installed()[0]}"]


def libs() -> list[str]:
    """Linker arguments, with a run path so that the program finds the library."""
    folder = _installed()[1]
    return [f"-L{folder}", f"-Wl,-rpath,{folder}", "-lmemif"]


def main(arguments: list[str] | None = None) -> int:
    """Print what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m libmemif_py", description=__doc__)
    parser.add_argument("--cflags", action="store_true", help="print compiler arguments")
    parser.add_argument("--libs", action="store_true", help="print linker arguments")
    parser.add_argument("--version", action="version", version=f"libmemif-py {_install.VERSION}")
    options = parser.parse_args(arguments)
    if not (options.cflags or options.libs):
        parser.error("say --cflags, --libs or both")
    words = (cflags() if options.cflags else []) + (libs() if options.libs else [])
    print(shlex.join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
