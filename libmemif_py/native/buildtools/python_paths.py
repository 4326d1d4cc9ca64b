# SPDX-License-Identifier: Apache-2.0
"""Build step: where, under a prefix, the interpreter looks for packages.

Usage: python_paths.py PREFIX. Prints the folder for the package, and the folder of the cffi
runtime if it belongs to that same place or to the interpreter's own packages (else an empty line:
a copy is installed then, so that the library does not lean on the environment it was built in).
"""

import json
import subprocess
import sys
from pathlib import Path

import _cffi_backend


def site_folders() -> list[Path]:
    """What this interpreter, and the one that its virtual environment stands on, search."""
    folders: list[Path] = []
    base = getattr(sys, "_base_executable", sys.executable)
    for program in dict.fromkeys([sys.executable, base]):
        script = "import json, site; print(json.dumps(site.getsitepackages()))"
        answer = subprocess.run([program, "-c", script], stdout=subprocess.PIPE, check=True)
        folders += [Path(p) for p in json.loads(answer.stdout)]
    return folders


def package_folder(prefix: Path, known: list[Path]) -> Path:
    """The searched folder right under the prefix, or the usual one for a prefix of its own."""
    for folder in known:
        if folder.is_relative_to(prefix / "lib") or folder.is_relative_to(prefix / "lib64"):
            return folder
    return prefix / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"


def main(prefix: Path) -> None:
    """Prints the two folders."""
    known = site_folders()
    package = package_folder(prefix, known)
    backend = Path(_cffi_backend.__file__).parent
    base_prefix = Path(sys.base_prefix)
    lasting = backend == package or (backend in known and backend.is_relative_to(base_prefix))
    print(package)
    print(backend if lasting else "")


main(Path(sys.argv[1]))
