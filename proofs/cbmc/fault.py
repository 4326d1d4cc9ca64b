# SPDX-License-Identifier: Apache-2.0
"""A fault that is put into a copy of the sources: a proof has to find it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cbmc.proof import ROOT, Proof, check

NATIVE = Path("libmemif_py", "native")


@dataclass(frozen=True)
class Fault:
    """A text of a source, which is there once, and what takes its place."""

    name: str
    file: str
    right: str
    wrong: str
    proof: Proof

    def put_in(self, sources: Path) -> None:
        """Change a copy of the sources."""
        file = sources / NATIVE / self.file
        text = file.read_text()
        if text.count(self.right) != 1:
            raise ValueError(f"{self.name}: {self.file} has this {text.count(self.right)} times")
        file.write_text(text.replace(self.right, self.wrong))


def is_found(fault: Fault) -> bool:
    """Have its proof look at the sources with the fault."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder)
        shutil.copytree(ROOT / NATIVE, sources / NATIVE)
        shutil.copytree(ROOT / "include", sources / "include")
        fault.put_in(sources)
        shown, _ = check(fault.proof, sources, "--stop-on-fail")
    return not shown
