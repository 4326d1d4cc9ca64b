# SPDX-License-Identifier: Apache-2.0
"""The order of the sources: short files, and arrows between them that lead one way."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.builds import ROOT
from support.sources import NATIVE, circles, imports, includes, shown, sources

MOST_LINES = 500
REASON = re.compile(r"^\s*(?:#|//|/\*|\*)\s*Long because: \S")
TOP = 40  # lines: a reason stands among them
TESTS = ("tests", "c_tests")
# Programs include one file for all of an API, and its comments are the reference.
PUBLIC_HEADERS = {ROOT / "include" / name / "libmemif.h" for name in ("libmemif1", "libmemif4")}

# Which layers a layer may use. A module belongs to the longest name that it begins with.
PYTHON_LAYERS = {
    "errors": (),
    "control": ("errors",),
    "capi": ("errors", "control"),
    "interface": ("errors", "control"),
    "aio": ("errors", "control", "interface"),
    "adapters": ("errors", "interface"),
    "package": ("errors", "interface", "aio"),
    "tools": ("package", "errors", "control", "interface"),
    "start": (),
}
LAYER_OF = {
    "errors": "errors",
    "control": "control",
    "capi": "capi",
    **dict.fromkeys(
        ("any_queue", "backlog", "bursts", "counters", "details", "interface"), "interface"
    ),
    **dict.fromkeys(("filters", "observer", "options", "process", "procfs"), "interface"),
    **dict.fromkeys(("receiving", "segment", "sending", "settings", "state"), "interface"),
    **dict.fromkeys(("uninterrupted", "waiting"), "interface"),
    "aio": "aio",
    # The modules of these two names have moved to adapters/, and lead there.
    **dict.fromkeys(("adapters", "metrics", "scapy_adapter"), "adapters"),
    "__init__": "package",
    "tools": "tools",
    **dict.fromkeys(("__main__", "_install"), "start"),
    "native": None,  # what builds the compiled half, and the C sources
}
C_LAYERS = {
    "core": (),
    "datapath": ("core",),
    "embed": ("core",),
    "capi": ("core", "datapath", "embed"),
    "python": ("core", "datapath"),
}


def assert_none(found: Iterable[str]) -> None:
    """All of them are shown."""
    assert not (lines := list(found)), "\n" + "\n".join(lines)


def is_explained(lines: list[str]) -> bool:
    return any(map(REASON.match, lines[:TOP]))


def test_no_source_is_long_without_a_reason():
    contents = {path: path.read_text().splitlines() for path in sources(".py", ".c", ".h", ".cc")}
    long = {
        shown(path): len(lines)
        for path, lines in contents.items()
        if len(lines) > MOST_LINES and not is_explained(lines) and path not in PUBLIC_HEADERS
    }
    assert_none(f"{name}: {lines} lines" for name, lines in long.items())


@pytest.mark.parametrize("line", ["# Long because: a table", " * Long because: it is generated"])
def test_a_reason_is_found_in_either_language(line):
    assert is_explained(["first", line])
    assert not is_explained(["first", line.replace("because: ", "because")])


def is_test(path: Path) -> bool:
    return path.relative_to(ROOT).parts[0] in TESTS or path == ROOT / "conftest.py"


@pytest.mark.parametrize("graph", [imports, includes], ids=["Python", "C"])
def test_nothing_but_tests_uses_tests(graph):
    used = [
        f"{shown(path)} uses {shown(other)}"
        for path, others in graph().items()
        for other in others
        if is_test(other) and not is_test(path)
    ]
    assert_none(used)


def test_nothing_but_tests_has_the_folder_of_the_tests_on_its_path():
    adding = re.compile(r"""sys\.path\b.*["']tests["']""")
    found = [shown(p) for p in sources(".py") if not is_test(p) and adding.search(p.read_text())]
    assert_none(found)


def test_no_module_imports_itself_by_way_of_others():
    """Imports in functions and for types count as well."""
    assert_none(map(", ".join, circles(imports())))


def test_no_file_includes_itself_by_way_of_others():
    assert_none(map(", ".join, circles(includes())))


def package_modules() -> list[Path]:
    return [path for path in sources(".py") if path.is_relative_to(ROOT / "libmemif_py")]


def python_layer(path: Path) -> str | None:
    name = path.relative_to(ROOT / "libmemif_py").with_suffix("").parts[0]
    return LAYER_OF.get(name, f"none: {name}")


def against(graph: dict[Path, set[Path]], layer_of, layers: dict[str, tuple]) -> list[str]:
    """The arrows that the table does not have."""
    return sorted(
        f"{shown(path)} ({layer_of(path)}) uses {shown(other)} ({layer_of(other)})"
        for path, others in graph.items()
        for other in others
        if layer_of(path) != layer_of(other)
        and layer_of(other) not in layers.get(layer_of(path), ())
    )


def test_each_module_of_the_package_belongs_to_a_layer():
    assert [
        shown(path) for path in package_modules() if str(python_layer(path)).startswith("none")
    ] == []


def test_the_layers_of_the_package_use_each_other_one_way():
    modules = set(package_modules())
    package = {
        path: {other for other in others if other in modules}
        for path, others in imports().items()
        if path in modules and python_layer(path) is not None
    }
    assert_none(against(package, python_layer, PYTHON_LAYERS))


def native_layer(path: Path) -> str:
    parts = path.relative_to(NATIVE).parts
    return parts[0] if len(parts) > 1 else "none"


def test_the_layers_of_the_c_sources_use_each_other_one_way():
    native = {
        path: {other for other in others if other.is_relative_to(NATIVE)}
        for path, others in includes().items()
        if path.is_relative_to(NATIVE)
    }
    assert_none(shown(path) for path in native if native_layer(path) not in C_LAYERS)
    assert_none(against(native, native_layer, C_LAYERS))
