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


def named(title: str) -> list[str]:
    """The names in the column that has this title."""
    found: list[str] = []
    column = 0
    for row in ROWS:
        if row[:1] == [""]:
            column = row.index(title) if title in row else 0
        elif column and row:
            found += re.findall(r"`([^`]+)`", row[column])
        else:
            column = 0
    return found


def test_the_functions_exist():
    header = (ROOT / "include/memif_ext.h").read_text()
    names = named("libmemif-py")
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
    names = named(f"`memif {command}`")
    assert len(names) > 5
    for name in names:
        assert re.search(rf"(^|[ ,]){re.escape(name)}\b", help_, re.M), name


def test_tcpdump_has_the_options_that_the_table_says():
    usage = subprocess.run(
        ["tcpdump", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    text = usage.stdout + usage.stderr
    flags = re.search(r"\[-(\S+)\]", text)[1]
    names = named("tcpdump 4.99")
    assert len(names) > 10
    for name in names:
        assert name[1:] in flags or f"[ {name} " in text, name
    assert "[ -a " not in text
