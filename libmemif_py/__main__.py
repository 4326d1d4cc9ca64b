# SPDX-License-Identifier: Apache-2.0
"""`python -m libmemif_py` prints what a C build needs to use this package's copy of the library."""

from __future__ import annotations

import argparse
import shlex
import sys
import sysconfig
from pathlib import Path

from . import _install

_PACKAGE = Path(__file__).resolve().parent


# By C API: the folder of its headers and the folder of its library, below those of the
# installation, and the linker argument for the library.
_APIS = {
    "1.0": ("libmemif1", ".", _install.LINK_V1),
    "4.0": ("libmemif4", "libmemif4", "-lmemif"),
}


def cflags(api: str = "1.0") -> list[str]:
    """Compiler arguments for the C API "1.0" or "4.0"."""
    folder = (_PACKAGE / _install.INCLUDEDIR / _APIS[api][0]).resolve()
    return [f"-I{folder}"]


def libs(api: str = "1.0") -> list[str]:
    """Linker arguments. They include a run path, with which the program finds the library."""
    _, below, link = _APIS[api]
    folder = (_PACKAGE / _install.LIBDIR / below).resolve()
    words = [f"-L{folder}", f"-Wl,-rpath,{folder}", link]
    return words + _libpython() if _install.WHEEL else words


def _libpython() -> list[str]:
    """Linker arguments for this interpreter's libpython, if it is outside the system's folders.

    The run path of a program is not searched for what its libraries need, so the program needs it.
    """
    name = sysconfig.get_config_var("INSTSONAME")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        raise SystemExit(f"{sys.executable} has no shared libpython, which the C libraries need")
    # The second is for interpreters that were moved after they were built.
    for folder in (Path(sysconfig.get_config_var("LIBDIR")), Path(sys.base_prefix, "lib")):
        if (folder / name).exists() and not folder.is_relative_to("/usr/lib"):
            library = f"-Wl,--push-state,--no-as-needed,-l:{name},--pop-state"
            return [f"-L{folder}", f"-Wl,-rpath,{folder}", library]
    return []


def main(arguments: list[str] | None = None) -> int:
    """Print what the arguments ask for. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m libmemif_py", description=__doc__)
    parser.add_argument("--api", choices=_APIS, default="1.0", help="C API of the program")
    parser.add_argument("--cflags", action="store_true", help="print compiler arguments")
    parser.add_argument("--libs", action="store_true", help="print linker arguments")
    parser.add_argument("--version", action="version", version=f"libmemif-py {_install.VERSION}")
    options = parser.parse_args(arguments)
    if not (options.cflags or options.libs):
        parser.error("nothing to print, expected --cflags, --libs or both")
    words = cflags(options.api) if options.cflags else []
    words += libs(options.api) if options.libs else []
    print(shlex.join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
