# SPDX-License-Identifier: Apache-2.0
"""The sources, apart from what is made from them."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path

from console import ROOT, Command, succeeds

MADE = ("build*", ".venv*", ".git", "dist")
MADE_ANYWHERE = (".*_cache", ".hypothesis", "__pycache__")


def copy_sources(target: Path) -> None:
    """Copy them into a new folder."""

    def made(folder: str, names: list[str]) -> set[str]:
        patterns = MADE_ANYWHERE + (MADE if Path(folder) == ROOT else ())
        return {name for pattern in patterns for name in fnmatch.filter(names, pattern)}

    shutil.copytree(ROOT, target, symlinks=True, ignore=made)


def check_sources() -> list[str]:
    """Lint them, and check how they are formatted; return what failed."""
    # Outside a git checkout ruff does not know by itself that these are no sources.
    built = 'extend-exclude = ["build", "build-*"]'
    checks: dict[str, Command] = {
        "checking the Python sources": ["ruff", "check", "--config", built, "."],
        "checking the format of the Python sources": [
            *("ruff", "format", "--config", built, "--check", "."),
        ],
        "checking the format of the C sources": [
            *("clang-format", "--dry-run", "-Werror"),
            *_c_sources(),
        ],
        "checking the types of the package with mypy": ["mypy"],
        "checking the types of the package with pyright": ["pyright"],
    }
    return [label for label, command in checks.items() if not succeeds(label, command)]


def _c_sources() -> list[Path]:
    top = [path for path in ROOT.iterdir() if path.is_dir() and not _is_made(path.name)]
    found = [path for folder in top for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix in (".c", ".h", ".cc"))


def _is_made(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in MADE + MADE_ANYWHERE)
