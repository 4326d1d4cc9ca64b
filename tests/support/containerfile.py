# SPDX-License-Identifier: Apache-2.0
"""Containerfile, as a list of its stages."""

import re

from support.builds import ROOT


def stages() -> list[str]:
    """The lines of each, without the word FROM; a command that goes on is one line."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / "Containerfile").read_text())
    return re.split(r"^FROM ", text, flags=re.M)[1:]


def runs_of(stage: str) -> list[str]:
    """The commands that make a stage."""
    return re.findall(r"^RUN (.*)$", stage, re.M)
