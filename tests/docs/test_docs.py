# SPDX-License-Identifier: Apache-2.0
"""The documentation does what it says: its blocks run, its drawings and manual pages are current.

support/pages.py has the marks that say what a block is for. Without one, Python and C blocks run,
and shell blocks are those of HARMLESS, word for word. Pages with terminals: test_terminals.py.
"""

import importlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.builds import ROOT, V1, V4, environment, run
from support.pages import DOCS, FENCE, PAGES, Block, blocks_of, has_terminals, moved

from libmemif_py import Interface
from libmemif_py.tools.cli import cli

TOOLS = DOCS / "tools"
HARMLESS = {
    "python -m libmemif_py --cflags --libs",
    "python -m libmemif_py --api 4.0 --cflags --libs",
    "python -m pydoc libmemif_py.interface",
}
# How many blocks are marked as not to be run: who adds one, says so here.
NOT_RUN = 41
TIMEOUT = 90


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def each_page(*languages: str):
    pages = [
        page
        for page in PAGES
        if not has_terminals(page)
        and any(b.language in languages and b.runs for b in blocks_of(page))
    ]
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def expected_output(page: Path) -> str:
    """What the page says that its Python blocks print, of those that run, in order."""
    blocks = blocks_of(page)
    return "".join(
        after.code
        for before, after in itertools.pairwise(blocks)
        if after.mark == "run: output" and before.runs
    )


RUNNER = """
import json, subprocess, sys

started = []
try:
    namespace = {}
    for block in json.load(sys.stdin):
        if block["command"]:
            started.append(subprocess.Popen(block["command"], stdout=subprocess.DEVNULL))
        else:
            code = "\\n" * (block["line"] - 1) + block["code"]
            exec(compile(code, block["page"], "exec"), namespace)
    for process in started:
        if process.wait(60):
            sys.exit(f"{process.args}: status {process.returncode}")
finally:
    for process in started:
        process.kill()
        process.wait()
"""


def compiled(block: Block, folder: Path) -> Path:
    """The program of a C block, built as the README says."""
    api = "4.0" if "memif_create_socket" in block.code else "1.0"
    words = run(
        [sys.executable, "-m", "libmemif_py", "--api", api, "--cflags", "--libs"], cwd=folder
    ).stdout
    source = folder / f"block{block.line}.c"
    source.write_text(moved(block.code, folder))
    program = source.with_suffix("")
    options = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    run(["cc", *options, source, *words.split(), "-o", program])
    return program


def prepared(block: Block, folder: Path) -> dict:
    """What RUNNER is told of a block."""
    command = None
    if block.language == "c":
        command = [str(compiled(block, folder))]
    elif block.background:
        script = folder / f"block{block.line}.py"
        script.write_text(moved(block.code, folder))
        command = [sys.executable, str(script)]
    return {
        "command": command,
        "page": str(block.page),
        "line": block.line,
        "code": moved(block.code, folder),
    }


@pytest.fixture
def folder(tmp_path_factory):
    """One with a short name: sockets are made in it, and output shows it."""
    folder = tmp_path_factory.mktemp("docs")
    yield folder
    shutil.rmtree(folder)


@each_page("python", "c")
def test_the_programs_of_a_page_run_and_print_what_it_says(page, folder):
    blocks = [b for b in blocks_of(page) if b.language in ("python", "c") and b.runs]
    paths = [b.mark.removeprefix("run: peer ") for b in blocks if b.mark.startswith("run: peer ")]
    peers = [
        Interface(moved(f'"{path}"', folder).strip('"'), role="master", app_name="peer")
        for path in paths
    ]
    try:
        told = json.dumps([prepared(block, folder) for block in blocks])
        result = subprocess.run(
            [sys.executable, "-c", RUNNER],
            input=told,
            capture_output=True,
            text=True,
            env=environment(),
            cwd=folder,
            timeout=TIMEOUT,
            check=False,
        )
    finally:
        for peer in peers:
            peer.close()
    assert result.returncode == 0, result.stderr
    shown = [line for line in expected_output(page).splitlines() if line]
    printed = iter(result.stdout.splitlines())
    for line in shown:
        assert line in printed, f"{page}: {line!r} was not printed\n{result.stdout}"


def test_a_shell_block_is_known_to_be_harmless_or_says_why_it_is_not_run(tmp_path):
    lines = [
        (block, line)
        for block in BLOCKS
        if block.language in ("sh", "console") and block.runs and not block.in_terminal
        for line in block.code.splitlines()
    ]
    for block, line in lines:
        assert line in HARMLESS, f"{block.page}:{block.line}: {line!r}: mark it or list it"
        words = line.replace("python", sys.executable, 1).split()
        run(words, cwd=tmp_path)


def test_every_block_is_run_or_says_why_not():
    marks = Counter(block.mark.partition(":")[0] for block in BLOCKS)
    assert marks["not run"] == NOT_RUN, "blocks that are not run were added or removed"
    for block in BLOCKS:
        where = f"{block.page}:{block.line}"
        assert block.language, f"{where}: a block without a language"
        if block.mark.startswith("not run:"):
            assert len(block.mark) > len("not run: x"), f"{where}: no reason"
        elif not block.is_prose:
            assert block.language in ("python", "c", "sh"), f"{where}: no way to run it"


def test_no_block_hides_behind_another_form():
    for page in PAGES:
        text = page.read_text()
        outside = FENCE.sub("", text)
        assert "```" not in outside, page
        indented = re.findall(r"\n\n {4,}(?! *[-*\d])(.*)", outside)
        assert not indented, f"{page}: indented code, put it between fences: {indented}"
        assert text.count("<!-- run:") + text.count("<!-- not run:") == sum(
            1 for block in blocks_of(page) if block.mark
        ), f"{page}: a mark that stands above no block"


def test_the_runner_notices_a_block_that_fails(folder):
    told = json.dumps([{"command": None, "page": "page.md", "line": 7, "code": "1 / 0"}])
    result = subprocess.run(
        [sys.executable, "-c", RUNNER], input=told, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert 'File "page.md", line 7' in result.stderr


# ---- what is made from the sources


@pytest.fixture(scope="module")
def tools():
    """The modules of docs/tools, importable for as long as it takes."""
    sys.path.insert(0, str(TOOLS))
    yield importlib.import_module
    sys.path.remove(str(TOOLS))


def drawing_names() -> list[str]:
    return sorted(path.stem for path in (DOCS / "drawings").glob("*.svg"))


@pytest.mark.parametrize("name", drawing_names())
def test_a_drawing_shows_the_code_as_it_is(name):
    # In a process of its own: it imports the control plane from the checkout.
    code = "import sys, drawings; sys.stdout.write(drawings.DRAWINGS[sys.argv[1]]())"
    made = run(
        [sys.executable, "-B", "-c", code, name], env=environment(PYTHONPATH=str(TOOLS))
    ).stdout
    assert (DOCS / "drawings" / f"{name}.svg").read_text() == made, (
        f"run python docs/tools/drawings.py: docs/drawings/{name}.svg shows what was"
    )


@pytest.mark.parametrize(
    "change",
    [
        "del H.MasterHandshake.TRANSITIONS[H.ADDING, H.AddRing]",
        "H.SlaveHandshake.TRANSITIONS[H.OFFERING, H.Hello] = '_take_hello'",
    ],
    ids=["one transition less", "one more"],
)
def test_a_drawing_of_other_tables_is_another_or_none(change):
    code = f"""
import drawings
H = drawings._control_plane("handshake")
{change}
print(drawings.states())
"""
    env = environment(PYTHONPATH=str(TOOLS))
    result = run([sys.executable, "-B", "-c", code], env=env, status=None)
    assert (
        result.returncode or result.stdout != (DOCS / "drawings" / "states.svg").read_text() + "\n"
    )


@pytest.mark.parametrize(("api", "suffix"), [(V1, "3memif1"), (V4, "3memif4")], ids=str)
def test_each_public_function_has_a_manual_page_and_a_place_in_the_reference(tools, api, suffix):
    manual = tools("manual")
    # The older name of memif_get_socket_path, for programs that declare it themselves.
    undocumented = {"memif_get_socket_filename"}
    exported = sorted(set(api.exported) - undocumented)
    pages = manual.pages("3")
    assert {f"{name}.{suffix}" for name in exported} == {n for n in pages if n.endswith(suffix)}
    folder = DOCS / "reference"
    placed = re.findall(
        rf"c_functions {re.escape(api.version)} (.*) -->",
        (folder / f"c-{api.version}.md").read_text(),
    )
    # The extensions are the same in both, so their page shows one.
    placed += re.findall(r"c_functions 4.0 (.*) -->", (folder / "c-ext.md").read_text())
    assert exported == sorted(name for names in placed for name in names.split())


def test_every_argument_of_a_function_that_its_comment_names_is_one(tools):
    headers = tools("headers")
    for api, file in [
        *((api, "libmemif.h") for api in headers.FOLDERS),
        ("4.0", headers.EXTENSIONS),
    ]:
        for item in headers.load(api, file).of("function"):
            arguments = re.findall(r"(\w+)(?=[,)])", item.declaration)
            for names, _ in headers.paragraphs(item.comment):
                for name in filter(None, names.split(", ")):
                    assert name in arguments, f"{item.name} of {api} has no argument {name}"


def test_meson_installs_the_manual_pages_that_are_made(tools):
    pages = tools("manual").pages
    share = Path(sys.prefix) / "share" / "man"
    for section in "37":
        for name, text in pages(section).items():
            installed = (share / f"man{section}" / name).read_text()
            # The first line has the day of the build.
            assert installed.splitlines()[1:] == text.splitlines()[1:], name


def test_the_manual_pages_of_the_command_say_what_its_help_says(tools):
    made = tools("command_manual").pages()
    there = {path.name: path.read_text() for path in (DOCS / "man").glob("*.1")}
    assert there == made, "run python docs/tools/command_manual.py: docs/man says what was"
    share = Path(sys.prefix) / "share" / "man" / "man1"
    for name, text in made.items():
        assert (share / name).read_text() == text


def test_each_option_and_example_of_a_command_is_on_its_manual_page(tools):
    for name in ["", *cli.list_commands(None)]:
        page = "memif" + (f"-{name}" if name else "")
        text = (
            tools("command_manual").pages()[f"{page}.1"].replace("\\-", "-").replace("\\(aq", "'")
        )
        help_ = tools("reference").help_text(*([name] if name else []))
        for option in re.findall(r"^  (-.*?)(?:  |$)", help_, re.M):
            for word in re.findall(r"(?<!\S)--?[A-Za-z][\w-]*", option):
                assert f"\\fB{word}\\fR" in text, f"{page}: {word}"
        examples = re.findall(r"^    (memif .*)$", help_, re.M)
        assert examples
        for example in examples:
            assert f"\n{example.strip()}\n" in text


def test_a_header_that_is_not_understood_is_refused(tools):
    headers = tools("headers")
    text = "/* For what. */\n\nint memif_x(void)\n"
    with pytest.raises(headers.HeaderError, match="without an end"):
        headers.parse(text)
    with pytest.raises(headers.HeaderError, match="what the header is for"):
        headers.parse("int memif_x(void);\n")


def test_the_reference_of_the_command_has_every_subcommand(tools):
    text = tools("reference").MADE["command_help"]()
    assert re.findall(r"^## memif (\w+)$", text, re.M) == list(cli.list_commands(None))


def test_pages_from_elsewhere_link_only_to_pages_of_the_documentation(tools):
    reference = tools("reference")
    for path in reference.OUTSIDE:
        for target in re.findall(r"\]\(([^)\s#]+)", reference.MADE["page"](path)):
            assert "://" in target or (DOCS / target).exists(), f"{path}: {target}"


def test_each_file_of_the_map_is_there():
    """README's map of the repository: folders from the top, files below libmemif_py/."""
    chapter = (ROOT / "README.md").read_text().partition("## Map of the repository\n")[2]
    folders, _, files = re.split(r"\n## ", chapter)[0].partition("| to change this |")
    named = re.findall(r"`([\w./*]+/)`", folders)
    assert len(named) > 15
    for name in named:
        assert any(list(base.glob(name.rstrip("/"))) for base in (ROOT, ROOT / "libmemif_py")), name
    rows = [line.split("|")[2] for line in files.splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    for row in rows:
        near = ROOT / "libmemif_py"  # a name without a folder lies beside the one before it
        for name in re.findall(r"`([\w./*]+)`", row):
            bases = (ROOT, ROOT / "libmemif_py", near)
            found = [p for b in bases for p in b.glob(name.replace("NAME", "ping").rstrip("/"))]
            assert found, name
            near = found[0].parent
