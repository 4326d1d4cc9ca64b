# SPDX-License-Identifier: Apache-2.0
"""The binary interfaces of the libraries as files: made by abidw, compared by abidiff.

interfaces.py BUILD    records in abi/ those of a build folder with debug information
"""

import re
import sys
from pathlib import Path

from support.builds import APIS, ROOT, Api, run

RECORDED = ROOT / "abi"
# Nothing of this machine and of its Python: what programs are compiled against is the same.
PORTABLE = ["--no-architecture", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"]
PORTABLE += ["--no-elf-needed", "--drop-private-types", "--exported-interfaces-only"]
# Bits of the exit status of abidiff.
FAILED = 1 | 2
CHANGED = 4
INCOMPATIBLE = 8


def recorded(api: Api) -> Path:
    """The file that is the promise."""
    return RECORDED / f"{api.headers}.abi"


def public_headers(api: Api) -> Path:
    """Types of other headers are private."""
    return ROOT / "include" / api.headers


def record(api: Api, library: Path, file: Path) -> None:
    """Write down the interface of a library that has debug information."""
    headers = ["--headers-dir", public_headers(api)]
    text = run(["abidw", *PORTABLE, *headers, library]).stdout
    # How the compiler was led to the source tells where it was built.
    file.write_text(re.sub(r" path='[^']*/", " path='", text))


def compare(api: Api, file: Path) -> tuple[int, str]:
    """The status of abidiff for what was promised and the interface in a file, and what it says."""
    result = run(["abidiff", "--no-show-locs", recorded(api), file], status=None)
    return result.returncode, result.stdout + result.stderr


def main(build: Path) -> None:
    """Both interfaces."""
    for api in APIS:
        record(api, build / "libmemif_py" / api.file, recorded(api))
        print(recorded(api).relative_to(ROOT))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
