# SPDX-License-Identifier: Apache-2.0
"""The binary interfaces of the libraries as files in abi/: written by abidw, compared by abidiff.

abi_record.py BUILD    records those of a build folder that has debug information

Each library is called after its headers: libmemif1 and libmemif4.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Later releases of abidw also write down what the library uses of others, unless told not to.
NOTHING_USED = "--no-load-undefined-interfaces"
# In a build folder.
LIBRARIES = {
    "libmemif1": "libmemif_py/libmemif.so.0",
    "libmemif4": "libmemif_py/libmemif4/libmemif.so",
}
# Nothing of this machine and of its Python: what programs are compiled against is the same.
PORTABLE = ["--no-architecture", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"]
PORTABLE += ["--no-elf-needed", "--drop-private-types", "--exported-interfaces-only"]
# The header of both, beside those in the folder of each.
EXTRA: list[str | Path] = ["--header-file", ROOT / "include" / "memif_ext.h"]
# Bits of the exit status of abidiff.
FAILED = 1 | 2
CHANGED = 4


def recorded(name: str) -> Path:
    """Return the file that is the promise."""
    return ROOT / "abi" / f"{name}.abi"


def record(name: str, library: Path, file: Path) -> None:
    """Write down the interface of a library that has debug information."""
    known = _said(_run(["abidw", "--help"]))
    options: list[str | Path] = [NOTHING_USED] if NOTHING_USED in known else []
    # It calls the types of all other headers private.
    options += ["--headers-dir", ROOT / "include" / name, *EXTRA]
    result = _run(["abidw", *PORTABLE, *options, library])
    if result.returncode != 0:
        raise SystemExit(f"abidw {library}: status {result.returncode}\n{_said(result)}")
    # How the compiler was led to the source tells where it was built.
    file.write_text(re.sub(r" path='[^']*/", " path='", result.stdout))


def compare(name: str, file: Path) -> tuple[int, str]:
    """Return abidiff's status for the promise and the interface in a file, and what it says."""
    result = _run(["abidiff", "--no-show-locs", recorded(name), file])
    return result.returncode, _said(result)


def _run(command: Sequence[Path | str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _said(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


def main(build: Path) -> None:
    """Record both APIs."""
    for name, library in LIBRARIES.items():
        record(name, build / library, recorded(name))
        print(recorded(name).relative_to(ROOT))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
