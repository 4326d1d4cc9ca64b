# SPDX-License-Identifier: Apache-2.0
"""Build step: where the interpreter looks for packages under a prefix.

Usage: python_paths.py PREFIX. Prints three lines: the folder for the package, the folder of the
cffi runtime, and the interpreter that runs the command `memif`. The second is empty if cffi is
neither in the first folder nor among the interpreter's own packages: then a copy is installed, so
that the library does not need the environment that it was built in.
"""

import json
import subprocess
import sys
from pathlib import Path

import _cffi_backend


def site_folders() -> list[Path]:
    """Where this interpreter searches, and the one from which its virtual environment was made."""
    folders: list[Path] = []
    base = getattr(sys, "_base_executable", sys.executable)
    for program in dict.fromkeys([sys.executable, base]):
        script = "import json, site; print(json.dumps(site.getsitepackages()))"
        answer = subprocess.run([program, "-c", script], stdout=subprocess.PIPE, check=True)
        folders += [Path(p) for p in json.loads(answer.stdout)]
    return folders


def package_folder(prefix: Path, known: list[Path]) -> Path:
    """The searched folder under the prefix; if there is none, the usual folder of a prefix."""
    for folder in known:
        if folder.is_relative_to(prefix / "lib") or folder.is_relative_to(prefix / "lib64"):
            return folder
    return prefix / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"


def interpreter_for(prefix: Path) -> Path:
    """That of a virtual environment which is the prefix; else the one below all environments."""
    own = prefix / "bin" / "python{}.{}".format(*sys.version_info)
    if (prefix / "pyvenv.cfg").exists() and own.exists():
        return own
    return Path(getattr(sys, "_base_executable", sys.executable))


def main(prefix: Path) -> None:
    """Prints the two folders and the interpreter."""
    known = site_folders()
    package = package_folder(prefix, known)
    backend = Path(_cffi_backend.__file__).parent
    base_prefix = Path(sys.base_prefix)
    lasting = backend == package or (backend in known and backend.is_relative_to(base_prefix))
    print(package)
    print(backend if lasting else "")
    print(interpreter_for(prefix))


main(Path(sys.argv[1]))
