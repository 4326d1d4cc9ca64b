# SPDX-License-Identifier: Apache-2.0
"""The pages: no line is too wide, pictures show, each page is on the first, examples have types."""

import importlib
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from support.builds import ROOT, environment, release, run
from support.pages import DOCS, FENCE, PAGES, blocks_of

# Characters that fit into a block of code, with a window of 800 or 1280 pixels.
WIDEST = 86
OUTSIDE = ["README.md", "CONTRIBUTING.md", "examples/README.md", "bench/README.md"]
SOURCES = [*PAGES[1:], *(ROOT / name for name in OUTSIDE)]
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def replaced():
    """What Sphinx reads instead of a page."""
    sys.path.insert(0, str(DOCS / "tools"))
    yield importlib.import_module("reference").replaced
    sys.path.remove(str(DOCS / "tools"))


def each_source(function):
    return pytest.mark.parametrize("page", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))(
        function
    )


@each_source
def test_no_line_of_code_is_cut_off(page, replaced):
    text = replaced(page.read_text())
    code = [line for match in FENCE.finditer(text) for line in match["code"].splitlines()]
    code += re.findall(r"^    (?! *[-*\d])(.*)$", FENCE.sub("", text), re.M)
    too_long = [line for line in code if len(line) > WIDEST]
    assert not too_long, f"{page}: longer than {WIDEST} characters"


@each_source
def test_each_picture_shows_on_light_and_dark_pages(page):
    for text, target in IMAGE.findall(page.read_text()):
        assert len(text) > 20, f"{page}: {target} has no description"
        drawn = (page.parent / target).read_text()
        background = re.search(r"</defs>.*?(<(?:rect|path)\b.*?/>)", drawn, re.S)[1]
        assert re.search(r"white|#ffffff", background), f"{target}: its text is dark"


def test_each_drawing_is_on_a_page():
    shown = {
        (page.parent / target).resolve()
        for page in SOURCES
        for _, target in IMAGE.findall(page.read_text())
    }
    assert {p for p in shown if p.parent.name == "drawings"} == set((DOCS / "drawings").iterdir())


def test_the_first_page_says_for_whom_each_page_is():
    text = (DOCS / "index.md").read_text()
    trees = text.split("```{toctree}")[1:]
    listed = [line for tree in trees for line in re.findall(r"([\w./-]+)>?$", tree, re.M)]
    table = set(re.findall(r"\]\(([\w./-]+)\.md\)", text.partition("```{toctree}")[0]))
    pages = {str(p.relative_to(DOCS).with_suffix("")) for p in DOCS.rglob("*.md")} - {"index"}
    assert pages == table
    assert pages == pages & set(listed)


def test_each_extra_that_a_page_installs_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for page in PAGES:
        for names in re.findall(r"'\.\[([\w,]+)\]'", page.read_text()):
            assert set(names.split(",")) <= set(extras), page


def test_each_tutorial_that_installs_leads_to_what_that_needs():
    texts = {page: page.read_text() for page in (DOCS / "tutorial").glob("*.md")}
    installing = [page for page, text in texts.items() if re.search(r"pip install '?\.", text)]
    assert len(installing) > 4
    assert [page for page in installing if "(../../README.md#install)" not in texts[page]] == []


def typed_programs(folder: Path) -> list[Path]:
    """The Python of each page: what is one program as one, with the page's line numbers."""
    programs = []
    for page in PAGES:
        together: list[str] = []
        for block in blocks_of(page):
            if block.language != "python":
                continue
            alone = block.background or block.in_terminal
            lines = [] if alone else together
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
            if alone:
                programs.append(folder / f"page_{page.stem}_line_{block.line}.py")
                programs[-1].write_text("\n".join(lines) + "\n")
        if together:
            programs.append(folder / f"page_{page.stem}.py")
            programs[-1].write_text("\n".join(together) + "\n")
    return programs


def test_a_strict_type_checker_accepts_each_example_of_the_pages(tmp_path, tmp_path_factory):
    installed = release(tmp_path_factory)
    programs = typed_programs(tmp_path)
    assert len(programs) > 15
    options = ["--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache"]
    command = [sys.executable, "-m", "mypy", *options, "--scripts-are-modules", *programs]
    variables = environment(MYPYPATH=str(installed.package.parent))
    result = run(command, env=variables, cwd=tmp_path, timeout=300, status=None)
    assert result.returncode == 0, result.stdout


def test_pyright_accepts_each_example_of_the_pages_too(tmp_path, tmp_path_factory):
    installed = release(tmp_path_factory)
    programs = typed_programs(tmp_path)
    settings = {
        "include": [str(program) for program in programs],
        "extraPaths": [str(installed.package.parent)],
        "pythonVersion": "3.11",
        # A loop of an example runs at least once, which a type checker cannot see.
        "reportPossiblyUnboundVariable": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "-p", tmp_path]
    result = run(command, cwd=tmp_path, timeout=300, status=None)
    assert result.returncode == 0, result.stdout
