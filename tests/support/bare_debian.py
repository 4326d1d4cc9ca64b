# SPDX-License-Identifier: Apache-2.0
"""Machines with nothing but what debootstrap installs, as devtools/debian_root.sh makes them."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import suite
from console import as_root

# Who reads README says yes to apt-get, and is root already: a bare Debian has no sudo.
PRELUDE = """
sudo() {
    if [ "$1" = apt-get ]; then
        shift
        set -- env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes "$@"
    fi
    "$@"
}
"""
TIMEOUT = 1800
CAPTURED = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}


class BareDebian:
    """A machine. Each script begins on a new one, which stays until the next script."""

    def __init__(self, name: str) -> None:
        """Of that suite."""
        self.suite = name
        self.root = suite.ROOTS / f"{name}.fresh"

    def run(self, script: str, *folders: Path) -> str:
        """Run a shell's script on the sources, as root; return what it printed.

        It can read these folders of this machine, under the same name.
        """
        self.remove()
        inputs = suite.prepare_inputs()
        try:
            with (inputs / "folders").open("a") as list_:
                list_.writelines(f"{folder}\n" for folder in folders)
            shell = ["sh", "-euc", PRELUDE + script]
            command = suite.in_root(self.root, self.suite, inputs, *shell)
            options = {"text": True, "errors": "replace", "timeout": TIMEOUT}
            result = subprocess.run(command, check=False, **CAPTURED, **options)
        finally:
            shutil.rmtree(inputs, ignore_errors=True)
        if result.returncode != 0:
            pytest.fail(f"on a bare {self.suite}: status {result.returncode}\n{result.stdout}")
        return result.stdout

    def checkout(self) -> Path:
        """Where the sources are, after a script."""
        return self.root / "srv" / "libmemif-py"

    def remove(self) -> None:
        """Remove its files. Mounts and processes end with each script, also one that is killed."""
        ended = ["flock", f"{self.root}.lock"]
        remove = ["rm", "-rf", "--one-file-system", self.root, f"{self.root}.new"]
        subprocess.run(as_root([*ended, *remove]), check=True)


def lacking() -> str:
    """Return what this machine lacks to make others, or nothing."""
    if os.geteuid() != 0 and not _works(["sudo", "-n", "true"]):
        return "only root makes a bare Debian, and there is no sudo without a password"
    trial = "mount -t tmpfs none /mnt && mknod /mnt/null c 1 3 && : >/mnt/null"
    if not _works(as_root(["unshare", "--mount", "--pid", "--fork", "sh", "-c", trial])):
        return "a bare Debian takes mounts and devices, which root may not make here"
    return ""


def _works(command: list[str | Path]) -> bool:
    try:
        return subprocess.run(command, **CAPTURED, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def bare_debian(name: str) -> Iterator[BareDebian]:
    """One that no other run uses, and that is removed at the end."""
    suite.ROOTS.mkdir(exist_ok=True)
    machine = BareDebian(name)
    with (suite.ROOTS / f"{name}.in-use").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield machine
        finally:
            machine.remove()
