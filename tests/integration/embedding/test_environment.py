# SPDX-License-Identifier: Apache-2.0
"""What the library takes from the environment, and from a hostile one."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from support import builds
from support.builds import BASE_PYTHON, Api, Installed, each_api, run
from support.embedding import NOBODY, silently
from support.programs import Program

from libmemif_py import Interface, processes


@each_api
def test_an_empty_environment_is_enough(compiled, tmp_path, api):
    silently([compiled("plain", api=api), tmp_path / "socket"], env={})


class Trap:
    """A folder full of modules and programs, each of which leaves a mark when it is executed."""

    MODULES = (
        *("struct", "os", "sys", "site", "sitecustomize", "usercustomize", "encodings", "codecs"),
        *("io", "abc", "time", "select", "fcntl", "_socket", "_thread", "zipimport", "traceback"),
        *("_cffi_backend", "_libmemif1", "_libmemif4"),
        "atexit",
    )

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.marks = folder / "marks"
        self.bin = folder / "bin"
        self.home = folder / "home"
        self.library = self.home / "lib" / "python{}.{}".format(*sys.version_info)
        user_site = Path(".local", *self.library.parts[-2:], "site-packages")
        for place in (folder, self.library, self.library / "site-packages", folder / user_site):
            self._fill(place)
        self._programs()
        self._settings()

    def _fill(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for name in self.MODULES:
            (place / f"{name}.py").write_text(self._marking(name))
        for name in ("libmemif_py", "encodings"):
            (place / name).mkdir(exist_ok=True)
            (place / name / "__init__.py").write_text(self._marking(f"{name}-package"))
        (place / "trap.pth").write_text(self._marking("pth"))

    def _marking(self, name: str) -> str:
        """Works as early as Python runs any module: before there are encodings and `open`."""
        path, line = bytes(self.marks), f"{name}\n".encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return f"import posix; posix.write(posix.open({path!r}, {flags}, 0o600), {line!r})\n"

    def _programs(self) -> None:
        self.bin.mkdir()
        for name in ("python3", "python", "python{}.{}".format(*sys.version_info)):
            program = self.bin / name
            program.write_text(f"#!/bin/sh\necho {name} >>{self.marks}\n")
            program.chmod(0o755)

    def _settings(self) -> None:
        for place in (self.folder, self.bin):
            (place / "pyvenv.cfg").write_text(f"home = {self.bin}\n")
            (place / "pybuilddir.txt").write_text(str(self.library))

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PYTHONPATH": str(self.folder),
            "PYTHONHOME": str(self.home),
            "PYTHONSTARTUP": str(self.folder / "struct.py"),
            "PYTHONUSERBASE": str(self.folder / ".local"),
            "PYTHONEXECUTABLE": str(self.bin / "python3"),
            "PYTHONPLATLIBDIR": "lib64",
            "PYTHONIOENCODING": "no-such-encoding",
            "PYTHONMALLOC": "no-such-allocator",
            "PYTHONINSPECT": "1",
            "PYTHONVERBOSE": "1",
            "PYTHONDEVMODE": "1",
            "PYTHONWARNINGS": "error",
            "LC_ALL": "tr_TR.ISO-8859-9",
            "LANG": "no-such-locale",
        }

    def sprung(self) -> list[str]:
        return self.marks.read_text().split() if self.marks.exists() else []


@each_api
def test_nothing_of_a_hostile_environment_is_executed(compiled, tmp_path, api):
    trap = Trap(tmp_path)
    program = shutil.copy(compiled("plain", api=api), trap.bin)
    silently([program, tmp_path / "socket"], env=trap.environment(), cwd=tmp_path)
    assert trap.sprung() == []


def test_the_hostile_environment_is_one(tmp_path):
    trap = Trap(tmp_path)
    chosen = {"PYTHONPATH": str(tmp_path), "PATH": trap.environment()["PATH"]}
    run([BASE_PYTHON, "-c", "pass"], env=chosen, status=None)
    run(["python3"], env=chosen, executable=shutil.which("python3", path=chosen["PATH"]))
    sprung = trap.sprung()
    assert "encodings-package" in sprung
    assert "python3" in sprung


class Privileged:
    """programs/privileged.c where every user can run it, with a hostile environment."""

    def __init__(self, installed: Installed, folder: Path, tmp_path: Path, api: Api):
        self.socket = folder / "socket"
        self.trap = Trap(folder / "trap")
        self._errors = tmp_path / "errors"
        copy = installed.copy(folder / "prefix")
        self._program = copy.compile(folder / "privileged", ["privileged.c", api.exchange], api=api)

    def run(self, role: str, raised: bool, **hostile: str) -> Program:
        """As nobody; `raised`: with root's privileges all the same."""
        self._program.chmod(0o4755 if raised else 0o755)
        command = [self._program, str(int(raised)), role, self.socket]
        environment = {**self.trap.environment(), **hostile, "LIBMEMIF_DEBUG": "1"}
        return Program(command, self._errors, environment, user=NOBODY if raised else None)


@pytest.fixture
def privileged(installed, tmp_path):
    """Makes a Privileged, which takes root: a file of root's that others may run as root."""
    folder = Path(tempfile.mkdtemp(prefix="memif-privileged-"))
    folder.chmod(0o755)
    yield lambda api: Privileged(installed, folder, tmp_path, api)
    shutil.rmtree(folder)


@each_api
@pytest.mark.parametrize("raised", [True, False], ids=["raised", "not raised"])
def test_a_program_with_raised_privileges_is_not_told_how_to_connect(privileged, raised, api):
    """Without them the same environment says which version, and turns debug lines on."""
    program = privileged(api)
    with (
        Interface(program.socket, role="master", id=1) as master,
        program.run("slave", raised, LIBMEMIF_PROTOCOL="256") as slave,
    ):
        assert slave.line() == "ready"
        master.wait_connected(60)
        assert master.peer.uid == 0
        assert master.details().version == (512 if raised else 256)
        assert (processes([slave.pid]) == []) == raised
        slave.end_input()
        assert slave.wait() == 0
        assert (slave.errors == "") == raised
    assert program.trap.sprung() == []


@each_api
@pytest.mark.parametrize("raised", [True, False], ids=["raised", "not raised"])
def test_a_program_with_raised_privileges_is_not_told_whom_to_trust(
    privileged, tmp_path, raised, api
):
    """Without them the same environment refuses this peer's memory."""
    program = privileged(api)
    with program.run("master", raised, LIBMEMIF_UNSEALED="never") as master:
        assert master.line() == "ready"
        command = [sys.executable, builds.SUPPORT / "other_user.py", "0", "slave"]
        with Program([*command, program.socket, "unsealable"], tmp_path / "peer") as slave:
            assert (slave.line() == "connected") == raised
        master.end_input()
        assert master.wait() == 0
        assert (master.errors == "") == raised
    assert program.trap.sprung() == []


def test_the_environment_is_read_in_no_other_way(installed):
    """Neither in C by what a program with raised privileges must not use, nor in Python."""
    c_files = [*builds.ROOT.glob("libmemif_py/native/**/*.[ch]")]
    reading = re.compile(r"(?<!secure_)\bgetenv\b|\benviron\b")
    assert len(c_files) > 20
    assert [file.name for file in c_files if reading.search(file.read_text())] == []
    package = builds.ROOT / "libmemif_py"
    modules = [m for m in package.rglob("*.py") if "native" not in m.relative_to(package).parts]
    assert len(modules) > 10
    assert [m.name for m in modules if re.search(r"\benviron\b|getenv", m.read_text())] == []
