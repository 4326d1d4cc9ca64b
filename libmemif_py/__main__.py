# SPDX-License-Identifier: Apache-2.0
"""`python -m libmemif_py`: what a C build needs to use this package's copy of the library."""

from __future__ import annotations

import argparse
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _installed() -> tuple[Path, Path]:
    """Folders of the headers and of the library. Raises FileNotFoundError."""
    if (_PACKAGE / "libmemif.so").exists():
        return _PACKAGE / "include", _PACKAGE  # a wheel carries everything
    from . import _install

    return Path(_install.INCLUDEDIR), Path(_install.LIBDIR)


def cflags() -> list[str]:
    """Compiler arguments."""
    return [f"-I{_installed()[0]}"]


def libs() -> list[str]:
    """Linker arguments, with a run path so that the program finds the library."""
    folder = _installed()[1]
    return [f"-L{folder}", f"-Wl,-rpath,{folder}", "-lmemif"]


def _version() -> str:
    try:
        return version("libmemif-py")
    except PackageNotFoundError:
        from . import _install

        return _install.VERSION


def main(arguments: list[str] | None = None) -> int:
    """Print what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m libmemif_py", description=__doc__)
    parser.add_argument("--cflags", action="store_true", help="print compiler arguments")
    parser.add_argument("--libs", action="store_true", help="print linker arguments")
    parser.add_argument("--version", action="version", version=f"libmemif-py {_version()}")
    options = parser.parse_args(arguments)
    if not (options.cflags or options.libs):
        parser.error("say --cflags, --libs or both")
    words = (cflags() if options.cflags else []) + (libs() if options.libs else [])
    print(shlex.join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
