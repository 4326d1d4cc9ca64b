# SPDX-License-Identifier: Apache-2.0
"""What ./bootstrap does beside building: its command line, and what it gives to a root of
another Debian."""

import os
import re
import subprocess
from pathlib import Path

import environment
import pytest
import sources
import suite

ROOT = Path(suite.__file__).parents[2]


def bootstrap(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "bootstrap", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_tells_of_every_command():
    result = bootstrap("--help")
    assert (result.returncode, result.stderr) == (0, "")
    commands = re.findall(r"^(?:usage:)? +\./bootstrap ([a-z][a-z-]+)", result.stdout, re.M)
    described = re.findall(r"^  ([a-z-]+)(?:  |$)", result.stdout, re.M)
    expected = {"demo", "two-hosts", "test", "fuzz", "bench", "soak", "docs", "deb", "abi"}
    assert set(commands) == set(described) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tset"], "unknown command: tset"),
        (["test", "--in"], "--in: expected the name of a Debian suite"),
        (["test", "--in=../trixie"], "--in ../trixie: expected the name of a Debian suite"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told(arguments, said):
    result = bootstrap(*arguments)
    assert result.returncode == 1
    assert said in result.stderr


# ---- what is read and copied


def test_each_purpose_has_its_requirements():
    for purpose in environment.GROUPS:
        assert any(wanted.startswith("meson") for wanted in environment.requirements(purpose))
    assert any(wanted.startswith("pytest") for wanted in environment.requirements("test"))
    assert not any(wanted.startswith("pytest") for wanted in environment.requirements("demo"))


def test_what_was_made_from_the_sources_is_not_copied(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    made = ("build", "build-asan", ".venv", ".git", "dist", "a/__pycache__", "a/.pytest_cache")
    kept = ("a", "a/build", "bench")
    for name in made + kept:
        (checkout / name).mkdir(parents=True, exist_ok=True)
        (checkout / name / "file").touch()
    (checkout / "link").symlink_to("a")
    monkeypatch.setattr(sources, "ROOT", checkout)
    sources.copy_sources(tmp_path / "copy")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in tmp_path.glob("copy/**/file")}
    assert copied == {f"{name}/file" for name in kept}
    assert os.readlink(tmp_path / "copy" / "link") == "a"


def test_a_root_gets_what_pip_is_led_to(tmp_path, monkeypatch):
    home, index, inputs = tmp_path / "home", tmp_path / "index", tmp_path / "inputs"
    for folder in (home / ".pip", index / "simple", inputs):
        folder.mkdir(parents=True)
    certificate = index / "certificate.pem"
    certificate.touch()
    (home / ".pip" / "pip.conf").write_text(f"[global]\ncert = {certificate}\n")
    for name in [name for name in os.environ if suite.VARIABLES.fullmatch(name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{index}/simple")
    monkeypatch.setenv("no_proxy", "it's here")
    monkeypatch.setenv("SECRET", "not theirs")
    suite._write_network_settings(inputs)
    show = 'unset HOME; . "$0"; printf "%s\\n" "$HOME" "$PIP_INDEX_URL" "$no_proxy"'
    command = ["sh", "-c", show, inputs / "environment"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown == [str(home), f"file://{index}/simple", "it's here"]
    assert "SECRET" not in (inputs / "environment").read_text()
    files = (inputs / "files").read_text().splitlines()
    assert {str(certificate), str(home / ".pip" / "pip.conf")} <= set(files)
    folders = (inputs / "folders").read_text().splitlines()
    assert str(index) in folders
    assert not any(folder.startswith("/etc") for folder in folders)
