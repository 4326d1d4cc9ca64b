# SPDX-License-Identifier: Apache-2.0
"""Mutants that no test can notice, and why: equivalent.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_path.places import Mutant

FILE = Path(__file__).with_name("equivalent.toml")


class Record:
    """The entries, each for the mutants of some texts of a function."""

    def __init__(self, content: str) -> None:
        """Read them from the content of a file."""
        self._entries: list[dict[str, Any]] = tomllib.loads(content).get("mutant", [])
        self._used: set[int] = set()

    def why(self, mutant: Mutant) -> str | None:
        """Return why a mutant is equivalent, if it is recorded."""
        place = mutant.place
        for index, entry in enumerate(self._entries):
            if (
                place.file in _list(entry["file"])
                and place.function in _list(entry["function"])
                and place.text in _list(entry["text"])
                and mutant.change in _list(entry["change"])
                and entry.get("nth", place.nth) == place.nth
            ):
                self._used.add(index)
                return str(entry["why"])
        return None

    def stale(self, mutants: Iterable[Mutant]) -> list[str]:
        """Name the entries that fit none of these mutants."""
        for mutant in mutants:
            self.why(mutant)
        return [
            f"{entry['file']}: {entry['function']}: {entry['text']} -> {entry['change']}"
            for index, entry in enumerate(self._entries)
            if index not in self._used
        ]


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
