# SPDX-License-Identifier: Apache-2.0
"""Imports of the control plane go one way: down the layers that its docstring names.

Imports for type checkers count. So no module of a lower layer knows one of a higher, and there is
no circle.
"""

import ast
from pathlib import Path

import pytest

import libmemif_py.control

FOLDER = Path(libmemif_py.control.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def layers() -> list[str]:
    """Every module, the lowest first: the lines of the docstring that are indented."""
    lines = libmemif_py.control.__doc__.splitlines()
    return [name for line in lines if line.startswith("    ") for name in line.split()]


def imported_by(path: Path) -> set[str]:
    """The modules of the control plane that a file of its folder imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found


def test_the_layers_name_every_module_once():
    assert sorted(layers()) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_below(module):
    below = layers()[: layers().index(module)]
    assert imported_by(FOLDER / f"{module}.py") <= set(below)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_that_is_built_on_the_control_plane(module):
    above = [
        (node.module, [alias.name for alias in node.names])
        for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text()))
        if isinstance(node, ast.ImportFrom) and node.level > 1
    ]
    allowed = [(None, ["errors"])] + [(None, ["_native"])] * (module == "reactor")
    assert all(one in allowed for one in above)
