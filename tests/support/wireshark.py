# SPDX-License-Identifier: Apache-2.0
"""tshark in a home folder of its own, with what meson installs for it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

from support.builds import run
from support.programs import Program

EXTCAP = Path(sys.prefix) / "lib" / "wireshark" / "extcap" / "memif-extcap"
# In the home folder: that of Wireshark 4.0, and that of 4.4.
EXTCAP_FOLDERS = (".config/wireshark/extcap", ".local/lib/wireshark/extcap")
TIMEOUT = 100


class Tshark:
    """Starts tshark, or memif-extcap as tshark does."""

    def __init__(self, home: Path) -> None:
        """Links memif-extcap to where Wireshark looks for programs of its user."""
        self._home = home
        self._numbers = itertools.count()
        for folder in EXTCAP_FOLDERS:
            (home / folder).mkdir(parents=True)
            (home / folder / EXTCAP.name).symlink_to(EXTCAP)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        self._environment = {**kept, "HOME": str(home)}

    def run(self, *words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = ["tshark", *map(str, words)]
        options = {"env": self._environment, "cwd": self._home, "timeout": TIMEOUT}
        return run(command, status=status, **options)

    def start(self, *words: object) -> Program:
        return self._program("tshark", *words)

    def start_extcap(self, *words: object) -> Program:
        return self._program(EXTCAP, *words)

    def _program(self, *words: object) -> Program:
        errors = self._home / f"errors{next(self._numbers)}"
        return Program(list(map(str, words)), errors, {"HOME": str(self._home)})

    @staticmethod
    def ask_extcap(*words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        return run([EXTCAP, *map(str, words)], status=status)
