# SPDX-License-Identifier: Apache-2.0
"""The fenced blocks of a page of the documentation, and what a comment above them says."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- (?P<mark>(?:not )?run: [^>]*?) -->\n)?"
    r"^```(?P<language>[\w{}-]*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Shown, not executed.
PROSE = {"text", "mermaid"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of its first line of code
    mark: str
    language: str
    code: str

    @property
    def runs(self) -> bool:
        """Whether it is code that is to be run here and now."""
        if self.is_prose or self.mark.startswith("not run:"):
            return False
        return not self.needs or importlib.util.find_spec(self.needs) is not None

    @property
    def is_prose(self) -> bool:
        """Shown, or a directive of Sphinx."""
        return self.language in PROSE or self.language.startswith("{")

    @property
    def needs(self) -> str:
        """The module without which it cannot run."""
        return self.mark.partition("needs ")[2]

    @property
    def background(self) -> bool:
        """Whether it runs beside what follows."""
        return self.mark == "run: background"


def blocks_of(page: Path) -> list[Block]:
    """All of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, match.start("code")) + 1,
            match["mark"] or "",
            match["language"],
            match["code"],
        )
        for match in FENCE.finditer(text)
    ]
