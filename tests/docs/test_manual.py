# SPDX-License-Identifier: Apache-2.0
"""`man 7 libmemif` names what is there, and the command takes the options of each example."""

import re
import shlex
import sys
from pathlib import Path

import click
import pytest
from support.builds import ROOT, V1, V4
from support.pages import DOCS

from libmemif_py.tools.cli import cli

FOLDER = DOCS / "man"
OVERVIEW = (FOLDER / "libmemif.7").read_text().replace("\\-", "-")
SHARE = Path(sys.prefix) / "share" / "man"
COMMAND_PAGES = sorted(FOLDER.glob("*.1"))
# Pages of the system, which others install.
OF_THE_SYSTEM = {"unix(7)", "memfd_create(2)", "eventfd(2)", "fork(2)"}


def test_the_overview_is_installed():
    installed = SHARE / "man7" / "libmemif.7"
    assert installed.read_text() == (FOLDER / "libmemif.7").read_text()


@pytest.mark.parametrize("page", [FOLDER / "libmemif.7", *COMMAND_PAGES], ids=lambda p: p.name)
def test_each_page_that_a_page_refers_to_is_installed(page):
    text = page.read_text().replace("\\-", "-")
    references = re.findall(r"^\.BR (\S+) \((\w+)\)", text, re.M)
    assert references
    for name, section in references:
        if f"{name}({section})" not in OF_THE_SYSTEM:
            assert (SHARE / f"man{section[0]}" / f"{name}.{section}").exists(), (name, section)


def test_the_overview_refers_to_both_interfaces_and_the_command():
    see_also = OVERVIEW.partition(".SH SEE ALSO")[2]
    for reference in ("memif (1)", "libmemif1 (7)", "libmemif4 (7)", "(3memif1)", "(3memif4)"):
        assert reference in see_also
    for api in (V1, V4):
        assert api.file.removeprefix("lib/") in OVERVIEW


def test_the_overview_has_each_environment_variable():
    read = set(
        re.findall(r'getenv\("(\w+)"', (ROOT / "libmemif_py/native/core/debug.c").read_text())
    )
    chapter = OVERVIEW.partition(".SH ENVIRONMENT")[2].partition(".SH FILES")[0]
    assert set(re.findall(r"^\.B (\w+)$", chapter, re.M)) == read
    assert len(read) == 4


def unescaped(text: str) -> str:
    return text.replace("\\-", "-").replace("\\(aq", "'")


def examples() -> list[str]:
    """Each line that shows how the command is used: manual pages, README, tutorials."""
    lines = []
    for page in COMMAND_PAGES:
        chapter = page.read_text().partition(".SH EXAMPLES")[2] or page.read_text()
        lines += re.findall(r"^memif .*$", unescaped(chapter), re.M)
    lines += re.findall(r"^memif \w.*$", OVERVIEW, re.M)
    for page in (
        ROOT / "README.md",
        *(DOCS / "tutorial").glob("*.md"),
        *(DOCS / "howto").glob("*.md"),
    ):
        for code in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.M | re.S):
            lines += re.findall(r"^memif .*$", code, re.M)
    return sorted(set(lines))


@pytest.mark.parametrize("page", COMMAND_PAGES, ids=lambda page: page.stem)
def test_each_page_of_the_command_has_examples(page):
    chapter = page.read_text().partition(".SH EXAMPLES")[2]
    own = page.stem.replace("-", "[ -]")  # a subcommand, or a program of its own
    assert re.search(rf"^{own} ", chapter.replace("\\-", "-"), re.M)


@pytest.mark.parametrize("line", examples())
def test_the_command_takes_the_options_of_an_example(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMIF_SOCKET", raising=False)
    words = shlex.split(line.split("|")[0], comments=True)[1:]
    for word in words:
        if re.search(r"\.pcap(ng)?(\.zst)?$", word) and "-w" not in words:
            (tmp_path / word).touch()
    parse(words)


def parse(words: list[str]) -> None:
    """What the command does before it begins to work."""
    group = click.Context(cli, info_name="memif", **cli.context_settings)
    if words[0].startswith("-"):
        return
    command = cli.get_command(group, words[0])
    assert command is not None, words
    command.make_context(words[0], words[1:], parent=group, **command.context_settings)


@pytest.mark.parametrize("words", ["dump --wrong", "ping", "top a -n x", "bench both"])
def test_an_example_that_is_wrong_is_noticed(words):
    with pytest.raises(click.UsageError):
        parse(words.split())
