# SPDX-License-Identifier: Apache-2.0
"""tshark in a home folder of its own, with what meson installs for it."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.builds import run
from support.programs import Program

EXTCAP = Path(sys.prefix) / "lib" / "wireshark" / "extcap" / "memif-extcap"
# In the home folder: that of Wireshark 4.0, and that of 4.4.
EXTCAP_FOLDERS = (".config/wireshark/extcap", ".local/lib/wireshark/extcap")
PLUGIN = Path(sys.prefix) / "lib" / "wireshark" / "plugins" / "memif.lua"
PLUGIN_FOLDER = ".local/lib/wireshark/plugins"
NOBODY = 65534
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


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that every user may read, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="dissector-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Reader:
    """tshark that reads captures, with the dissector as a plugin of its user.

    Wireshark 4.4 loads no plugins of a user who is root.
    """

    def __init__(self, home: Path, plugin: Path = PLUGIN) -> None:
        """Another user may read in `home`."""
        self._home = home
        (home / PLUGIN_FOLDER).mkdir(parents=True)
        shutil.copy(plugin, home / PLUGIN_FOLDER)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        self._environment = {**kept, "HOME": str(home)}

    def run(self, *words: object) -> str:
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        options = {**(identity if os.geteuid() == 0 else {}), "cwd": self._home}
        command = ["tshark", *map(str, words)]
        result = run(command, env=self._environment, timeout=TIMEOUT, **options)
        assert "Lua" not in result.stdout + result.stderr
        return result.stdout

    def rows(self, trace: Path, fields: list[str]) -> list[list[str]]:
        """The values of fields, a row for each packet."""
        wanted = [word for field in fields for word in ("-e", field)]
        lines = self.run("-r", trace, "-T", "fields", *wanted).splitlines()
        return [line.split("\t") for line in lines]
