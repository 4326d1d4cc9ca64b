# SPDX-License-Identifier: Apache-2.0
"""The sources of this checkout, and which of them use which."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from support.builds import ROOT

NATIVE = ROOT / "libmemif_py" / "native"
# Folders whose modules are imported by their bare names: each is on sys.path for its programs.
PYTHON_ROOTS = ("", "tests", "bench", "devtools", "examples", "fuzz", "proofs", "docs/tools")
# Where quoted includes are looked for, after the folder of the file that includes.
INCLUDE_ROOTS = ("", "libmemif_py/native", "c_tests", "c_tests/support", "devtools", "bench")

Graph = dict[Path, set[Path]]


@cache
def sources(*suffixes: str) -> list[Path]:
    """All files of a kind, without those that a build makes."""
    folders = [
        folder
        for folder in ROOT.iterdir()
        if folder.is_dir() and not folder.name.startswith((".", "build", "dist"))
    ]
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]
    found += [path for path in ROOT.iterdir() if path.suffix in suffixes]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---- Python


def module_at(base: Path, name: str) -> Path | None:
    """The file of a module, if it is one of ours."""
    path = base.joinpath(*name.split(".")) if name else base
    made = (path.with_suffix(".pyi"), path.with_suffix(".py.in"))  # compiled, or made by the build
    for candidate in (path.with_suffix(".py"), path / "__init__.py", *made):
        if candidate.is_file():
            return candidate
    return None


def imported_by(path: Path) -> set[Path]:
    """The modules of ours that a module imports, also in functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= set(modules_of([alias.name for alias in node.names], [path.parent]))
        elif isinstance(node, ast.ImportFrom):
            found |= named_in(node, path)
    return found - {path}


def modules_of(names: Iterable[str], extra: Iterable[Path] = ()) -> Iterable[Path]:
    bases = [*extra, *(ROOT / root for root in PYTHON_ROOTS)]
    for name in names:
        module = next(filter(None, (module_at(base, name) for base in bases)), None)
        if module:
            yield module


def named_in(node: ast.ImportFrom, path: Path) -> set[Path]:
    """`from package import name`: a submodule where there is one, otherwise the package itself."""
    if node.level:
        bases = [path.parents[node.level - 1]]
    else:
        bases = [path.parent, *(ROOT / root for root in PYTHON_ROOTS)]
    found = set()
    for alias in node.names:
        name = f"{node.module}.{alias.name}" if node.module else alias.name
        for base in bases:
            module = module_at(base, name) or module_at(base, node.module or "")
            if module:
                found.add(module)
                break
    return found


@cache
def imports() -> Graph:
    return {path: imported_by(path) for path in sources(".py")}


# ---- C


def included_by(path: Path) -> set[Path]:
    """The files that a file includes by a name in quotes."""
    found = set()
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
        bases = [path.parent, *(ROOT / root for root in INCLUDE_ROOTS)]
        candidates = [(base / name).resolve() for base in bases]
        found |= {next((c for c in candidates if c.is_file()), path)}
    return found - {path}


@cache
def includes() -> Graph:
    return {path: included_by(path) for path in sources(".c", ".h", ".cc")}


# ---- graphs


def circles(graph: Graph) -> list[list[str]]:
    """The groups of files each of which leads to each other one of its group."""

    def reached_from(start: Path) -> set[Path]:
        seen: set[Path] = set()
        waiting = [start]
        while waiting:
            for path in graph.get(waiting.pop(), ()):
                if path not in seen:
                    seen.add(path)
                    waiting.append(path)
        return seen

    reached = {path: reached_from(path) for path in graph}
    groups = {
        frozenset(other for other in reached[path] if path in reached.get(other, ()))
        for path in graph
        if path in reached[path]
    }
    return sorted(sorted(map(shown, group)) for group in groups)
