# SPDX-License-Identifier: Apache-2.0
"""What the tables of README "Beside other programs" say that we have, we have."""

import re
import subprocess

import pytest
from support.builds import ROOT
from support.memif_command import MEMIF

import libmemif_py

README = (ROOT / "README.md").read_text()
SECTION = README.partition("\n## Beside other programs\n")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in SECTION.splitlines() if line]


def ours(title: str) -> list[str]:
    """The names in the second column of the table that has this title there."""
    found, inside = [], False
    for row in ROWS:
        inside = row[1:2] == [title] if row[:1] == [""] else inside and bool(row)
        if inside and len(row) > 1:
            found += re.findall(r"`([^`]+)`", row[1])
    return [name for name in found if f"`{name}`" != title]


def test_the_functions_exist():
    header = (ROOT / "include/memif_ext.h").read_text()
    names = ours("libmemif-py")
    assert len(names) > 7
    for name in names:
        if name.startswith("memif_ext_"):
            assert f"{name}(" in header
        elif name.startswith("Interface"):
            text = " ".join(vars(libmemif_py.Interface)) + libmemif_py.Interface.__doc__
            assert all(part in text for part in re.findall(r"[a-z_]+", name.split("(")[0])[1:])


@pytest.mark.parametrize("command", ["dump", "play"])
def test_the_options_exist(command):
    help_ = subprocess.run(
        [*MEMIF, command, "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    names = ours(f"`memif {command}`")
    assert len(names) > 5
    for name in names:
        assert re.search(rf"(^|[ ,]){re.escape(name)}\b", help_, re.M), name
