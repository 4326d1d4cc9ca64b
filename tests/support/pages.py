# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, and the blocks of code on them.

What a block is for stands in a comment above it, which readers do not see:

    <!-- run: background -->       a program of its own, that runs beside what follows
    <!-- run: output -->           what the block before it prints
    <!-- run: output, other figures -->     the same, with other numbers each time
    <!-- run: peer PATH -->        a master of ours listens there meanwhile
    <!-- run: needs MODULE -->     runs once that module exists
    <!-- run: terminal -->         a command of the page's second terminal
    <!-- run: terminal, background -->      a command that goes on in a terminal of its own
    <!-- run: terminal, background, after Ctrl+C -->    the same, once the one before it was ended
    <!-- not run: REASON -->       cannot run here

On a page that has terminals, each block is a process of its own. On others, the blocks of Python
that are not in the background are one program.
"""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from .builds import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>(?:not )?run: [^>]*?) -->\n)?"
    r"^```(?P<language>[\w{}-]*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Shown, not executed.
PROSE = {"text"}


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
    def in_terminal(self) -> bool:
        """Whether it is typed into a terminal."""
        return self.mark.startswith("run: terminal")

    @property
    def background(self) -> bool:
        """Whether it runs beside what follows."""
        return self.mark == "run: background" or ", background" in self.mark


def blocks_of(page: Path) -> list[Block]:
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


def has_terminals(page: Path) -> bool:
    """Whether its blocks are commands and programs of several terminals."""
    return any(block.in_terminal for block in blocks_of(page))


def moved(code: str, folder: Path) -> str:
    """The code with its sockets in the test's folder."""
    return re.sub(r'"(/tmp|/run/vpp)/(?=[\w/]+\.?\w*")', f'"{folder}/', code)
