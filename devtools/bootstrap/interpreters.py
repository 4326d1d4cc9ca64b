# SPDX-License-Identifier: Apache-2.0
"""The interpreters of this machine that the library can be built for."""

import os
import subprocess
import sys
from pathlib import Path

MINORS = (11, 12, 13, 14, 15)
# Not that of a virtual environment. typeshed does not know it.
RUNNING: str = getattr(sys, "_base_executable", sys.executable)
_ASK = """
import importlib.util, pathlib, sys, sysconfig
if (
    sysconfig.get_config_var("Py_ENABLE_SHARED")
    and not sysconfig.get_config_var("Py_GIL_DISABLED")  # its wheels have another tag
    and pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()
    and importlib.util.find_spec("ensurepip")
):
    print(sys._base_executable, *sys.version_info[:2])
"""


def pythons() -> dict[str, Path]:
    """Return them by version, such as 3.11: at least the one that runs this.

    Candidates are run, for some start only where they are wanted.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = {}
    for minor in MINORS:
        candidates = [Path(RUNNING), Path("/usr/bin/python3"), Path(f"python3.{minor}")]
        candidates += sorted(pyenv.glob(f"versions/3.{minor}.*/bin/python3"))
        for candidate in candidates:
            answer = _answer(candidate)
            if answer[1:] == ["3", str(minor)]:
                found[f"3.{minor}"] = Path(answer[0])
                break
    return found


def _answer(candidate: Path) -> list[str]:
    try:
        result = subprocess.run([candidate, "-I", "-c", _ASK], capture_output=True, check=False)
    except FileNotFoundError:
        return []
    return result.stdout.decode().split()
