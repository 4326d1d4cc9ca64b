# SPDX-License-Identifier: Apache-2.0
"""The sources under proof, as modules: those of this checkout, or with a change put in.

They are compiled from their text, so a change touches neither a file nor the installed package.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "libmemif_py" / "control"
FILES = ("wire", "actions", "offer", "handshake")  # each uses only those before it
PACKAGE = "_handshake_under_proof"  # begins the names of these modules

_numbers = itertools.count()


class Change(NamedTuple):
    """Other text in one of the files."""

    file: str
    old: str
    new: str


class ChangeError(Exception):
    """The text to change does not occur exactly once."""


class Rules:
    """The modules. `wire`, `actions`, `offer` and `handshake` are their attributes."""

    wire: Any
    actions: Any
    offer: Any
    handshake: Any

    def __init__(self, changes: Sequence[Change] = ()) -> None:
        """Compile the files, changed."""
        package = f"{PACKAGE}_{next(_numbers)}"
        names = {file: f"{package}.{file}" for file in FILES}
        sys.modules[package] = ModuleType(package)
        try:
            for file, name in names.items():
                module = ModuleType(name)
                module.__package__ = package
                sys.modules[name] = module  # for the relative imports of the next files
                path = FOLDER / f"{file}.py"
                text = _changed(path, [change for change in changes if change.file == file])
                exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102
                setattr(self, file, module)
        finally:
            for name in (package, *names.values()):
                sys.modules.pop(name, None)


def _changed(path: Path, changes: Sequence[Change]) -> str:
    text = path.read_text(encoding="utf-8")
    for change in changes:
        count = text.count(change.old)
        if count != 1:
            raise ChangeError(f"{path.name} has {count} times, expected once: {change.old!r}")
        text = text.replace(change.old, change.new)
    return text
