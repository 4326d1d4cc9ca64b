# SPDX-License-Identifier: Apache-2.0
"""What bash, zsh and fish offer after `memif`, with the files that meson installs or after pip."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.builds import ROOT, environment, run
from support.memif_command import COMMANDS

README = (ROOT / "README.md").read_text()
SHARE = Path(sys.prefix) / "share"
FILES = {
    "bash": SHARE / "bash-completion" / "completions" / "memif",
    "zsh": SHARE / "zsh" / "site-functions" / "_memif",
    "fish": SHARE / "fish" / "vendor_completions.d" / "memif.fish",
}
# Calls the function as bash does when Tab is pressed; prints one answer a line.
BASH = """
source "$1"
shift
[[ $(complete -p memif) == *"-o default"*"-F _memif memif" ]] || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_memif memif
printf '%s\\n' "${COMPREPLY[@]}"
"""
# The same; zsh's own functions, which need a terminal, only print what they are given.
ZSH = """
_describe() { printf '%s\\n' "${(P@)@[-1]}" }
_files() { printf '%s\\n' *(N) }
fpath=("${1:h}" $fpath)
shift
words=("$@") CURRENT=$#
autoload -U _memif
_memif
"""
# Around the line that README has for those who installed with pip.
AFTER_PIP = {
    "bash": """
{}
COMP_WORDS=(memif b) COMP_CWORD=1
_memif_completion memif
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """
autoload -U compinit
compinit -u -d dump
{}
_describe() {{ printf '%s\\n' "${{(P@)3}}" }}
words=(memif b) CURRENT=2
$_comps[memif]
""",
    "fish": '{}; complete --do-complete "memif b"',
}
FISH = 'source $argv[1]; complete --do-complete "$argv[2..]"'


def offered(shell: str, words: Sequence[str], folder: Path, **variables: str) -> list[str]:
    """What the shell offers for the last word, with help texts if it shows these."""
    command = {
        "bash": ["bash", "--norc", "-c", BASH, "bash"],
        "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
        "fish": ["fish", "--no-config", "-c", FISH],
    }[shell]
    settings = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    env = environment(**settings, **variables)
    return run([*command, FILES[shell], *words], env=env, cwd=folder).stdout.splitlines()


@pytest.fixture(params=FILES)
def offers(request, tmp_path) -> Callable[..., list[str]]:
    """What a shell offers for the last of the words, without help texts."""

    def ask(*words: str) -> list[str]:
        lines = offered(request.param, words, tmp_path)
        return [re.split(r"[\t:]", line)[0] for line in lines if line]

    return ask


def test_subcommands_are_offered(offers):
    assert offers("memif", "") == COMMANDS
    assert offers("memif", "b") == ["bench", "bridge"]


def test_options_are_offered(offers):
    assert {"--role", "--ring-size"} <= set(offers("memif", "ping", "--r"))
    assert "--version" in offers("memif", "--")


def test_values_of_an_option_are_offered(offers):
    assert offers("memif", "dump", "--role", "") == ["master", "slave"]
    assert offers("memif", "bench", "-S", "'/tmp/a b.sock'", "rx") == ["rxonly"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_files_are_offered_where_the_command_has_no_answer(shell, tmp_path):
    (tmp_path / "packets.pcap").touch()
    assert "packets.pcap" in offered(shell, ["memif", "info", ""], tmp_path)
    assert "packets.pcap" in offered(shell, ["memif", "play", ""], tmp_path)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_help_of_a_subcommand_is_shown(shell, tmp_path):
    (line,) = offered(shell, ["memif", "inf"], tmp_path)
    assert re.fullmatch(r"info[\t:]Show which master .*", line)


@pytest.mark.parametrize("shell", FILES)
def test_nothing_is_printed_where_the_command_fails(shell, tmp_path):
    command = tmp_path / "bin" / "memif"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\necho broken >&2\necho "$_MEMIF_COMPLETE" >../asked\nexit 2\n')
    command.chmod(0o700)
    path = f"{command.parent}:{os.environ['PATH']}"
    answers = set(offered(shell, ["memif", ""], command.parent, PATH=path))
    assert answers <= {"", "memif", "config/"}  # files: fish keeps its settings there
    assert (tmp_path / "asked").read_text() == f"{shell}_complete\n"


@pytest.mark.parametrize("shell", FILES)
def test_after_pip_the_line_of_readme_turns_it_on(shell, tmp_path):
    (line,) = re.findall(rf"`([^`]*_MEMIF_COMPLETE={shell}_source[^`]*)`", README)
    env = environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"))
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    command = [shell, *options, "-c", AFTER_PIP[shell].format(line)]
    lines = run(command, env=env, cwd=tmp_path).stdout.splitlines()
    assert [re.split(r"[\t:]", line)[0] for line in lines] == ["bench", "bridge"]
