# SPDX-License-Identifier: Apache-2.0
"""The virtual environment in .venv, and what pyproject.toml wants in it."""

import functools
import importlib.util
import os
import shutil
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

from console import ROOT, Command, fail, quietly

VENV = ROOT / ".venv"
# Dependency groups of pyproject.toml, by what is prepared.
GROUPS = {
    "demo": [],
    "test": ["lint", "test", "wheels", "mutation"],
    "mutate": ["mutation"],
    "mutate --control": ["test", "mutation-control"],
    "fuzz": ["test", "fuzz"],
    "coverage": ["lint", "test", "mutation", "coverage"],
    "bench": ["bench"],
    "docs": ["docs"],
    "wheels": ["wheels"],
}


@functools.cache
def _pyproject() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def build_requirements() -> list[str]:
    """Return what a build needs."""
    return list(_pyproject()["build-system"]["requires"])


def requirements(purpose: str) -> list[str]:
    """Return what pyproject.toml asks for."""
    content = _pyproject()
    project = content["project"]
    wanted = build_requirements() + project["dependencies"]
    for group in GROUPS[purpose]:
        wanted += content["dependency-groups"][group]
    if purpose in ("test", "coverage"):
        wanted += project["optional-dependencies"]["tools"]
    return wanted


def identity() -> str:
    """Return all that makes an environment, and what was built with it, useless if it changes."""
    wanted = [requirement for purpose in GROUPS for requirement in requirements(purpose)]
    return "\n".join([str(ROOT), sys.executable, sys.version, *wanted, ""])


def prepare(purpose: str) -> None:
    """Make the environment, or take the one that is there, and put its programs on PATH."""
    _check_interpreter()
    if not _is_current():
        _make()
    mark = VENV / f".has-{purpose}"
    if not mark.exists():
        listed = VENV / "requirements.txt"
        listed.write_text("\n".join(requirements(purpose)) + "\n")
        pip: Command = [VENV / "bin" / "python", "-m", "pip", "install"]
        label = f"installing the Python packages for {purpose}"
        quietly(label, [*pip, "--disable-pip-version-check", "--no-input", "-r", listed])
        # What the others need includes what the demo needs.
        (VENV / ".has-demo").touch()
        mark.touch()
    os.environ["PATH"] = f"{VENV / 'bin'}:{os.environ['PATH']}"


def _check_interpreter() -> None:
    lacking = None
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        lacking = "the header Python.h"
    elif not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        lacking = "the modules venv and ensurepip"
    if lacking:
        fail(f"{sys.executable} lacks {lacking}: install the rest of it, or set PYTHON")


def _is_current() -> bool:
    stamp = VENV / ".bootstrap"
    if VENV.exists() and not stamp.exists():
        fail(f"{VENV} was made by something else: move it away")
    return (VENV / ".ready").exists() and stamp.read_text() == identity()


def _make() -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    # First, so that an environment that is half made is known as ours.
    (VENV / ".bootstrap").write_text(identity())
    quietly(f"making .venv with {sys.executable}", [sys.executable, "-I", "-m", "venv", VENV])
    (VENV / ".ready").touch()
