# SPDX-License-Identifier: Apache-2.0
"""Imports of the control plane go one way: down the layers that its docstring names.

Imports for type checkers count. So no module of a lower layer knows one of a higher, and there is
no circle.
"""

from pathlib import Path

import pytest
from support.builds import ROOT
from support.sources import imports

import libmemif_py.control

CONTROL = ROOT / "libmemif_py" / "control"
MODULES = sorted(path.stem for path in CONTROL.glob("*.py") if path.stem != "__init__")


def layers() -> list[str]:
    """Every module, the lowest first: the lines of the docstring that are indented."""
    lines = libmemif_py.control.__doc__.splitlines()
    return [name for line in lines if line.startswith("    ") for name in line.split()]


def imported_by(module: str) -> set[Path]:
    """The modules of ours that a module of the control plane imports, anywhere in it."""
    return imports()[CONTROL / f"{module}.py"]


def test_the_layers_name_every_module_once():
    assert sorted(layers()) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_below(module):
    below = layers()[: layers().index(module)]
    inside = {path.stem for path in imported_by(module) if path.parent == CONTROL}
    assert inside <= set(below)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_that_is_built_on_the_control_plane(module):
    outside = {path.name for path in imported_by(module) if path.parent != CONTROL}
    assert outside <= {"errors.py"} | ({"_native.pyi"} if module == "reactor" else set())
