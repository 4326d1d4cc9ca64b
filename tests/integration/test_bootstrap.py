# SPDX-License-Identifier: Apache-2.0
"""What ./bootstrap does beside building: its command line, its sections of tests, and what it
gives to a root of another Debian."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import console
import environment
import pytest
import sources
import suite
import testing
from support import bare_debian

ROOT = Path(testing.__file__).parents[2]
SKIPPED = "import pytest\n\ndef test_no_root():\n    pytest.skip('only root does it')\n"
GOOD = "def test_good():\n    pass\n"
BAD = "def test_bad():\n    assert not 'on purpose'\n"
WHERE = """
import os

def test_where():
    assert ("PYTEST_XDIST_WORKER" in os.environ) == {expected}
"""


def bootstrap(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "bootstrap", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_tells_of_every_command():
    result = bootstrap("--help")
    assert (result.returncode, result.stderr) == (0, "")
    commands = re.findall(r"^(?:usage:)? +\./bootstrap ([a-z][a-z-]+)", result.stdout, re.M)
    described = re.findall(r"^  ([a-z-]+)(?:  |$)", result.stdout, re.M)
    expected = {"demo", "two-hosts", "test", "fuzz", "bench", "soak", "docs", "deb", "abi"} | {
        "wheels",
        "prove",
        "mutate",
        "coverage",
    }
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


# ---- lint


def test_both_type_checkers_find_a_fault_in_the_package_and_no_other(tmp_path, monkeypatch, capfd):
    for folder in ("libmemif_py", "proofs", "examples", "devtools"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "libmemif_py" / "fault.py").write_text('NUMBER: int = "text"\n')

    def only_types(label: str, command: list[str]) -> bool:
        return "types" not in label or console.succeeds(label, command, tmp_path)

    monkeypatch.setattr(sources, "succeeds", only_types)
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:{os.environ['PATH']}")
    assert sources.check_sources() == [
        "checking the types of the package with mypy",
        "checking the types of the package with pyright",
    ]
    said = capfd.readouterr()
    faults = re.findall(r"\S+\.py:\d+:.*error", said.out + said.err)
    assert len(faults) == 2
    assert all("fault.py:1:" in fault for fault in faults)


def test_what_lints_has_an_exact_version():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert all("==" in wanted for wanted in groups["lint"])


# ---- sections


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs the sections `first` and `second` of a checkout that has these files; returns the exit
    status and the lines that were said."""

    def run(files: dict[str, str], built: bool = True, lint: tuple[str, ...] = ()):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.setattr(testing, "check_sources", lambda: list(lint))
        monkeypatch.setattr(testing.building, "install", lambda _: built)
        monkeypatch.setattr(testing.building, "make", lambda _: True)
        monkeypatch.setattr(testing.aarch64, "make", list)
        status = testing.run_all()
        return status, capfd.readouterr().out.splitlines()

    (tmp_path / "conftest.py").write_text('pytest_plugins = ["outcomes"]\n')
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT / 'devtools'}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr(testing, "ROOT", tmp_path)
    monkeypatch.setattr(testing, "FOLDERS", {"first": ("first",), "second": ("second",)})
    monkeypatch.setattr(testing, "ALONE", {})
    return run


def rows(lines: list[str]) -> dict[str, list[str]]:
    """The table at the end."""
    table = lines[lines.index(next(line for line in lines if line.startswith("section "))) + 1 :]
    return {line.split()[0]: line.split()[2:] for line in table[: table.index("")]}


def test_all_sections_pass_and_the_slowest_tests_are_named(run):
    status, lines = run({"first/test_a.py": GOOD, "second/test_b.py": GOOD})
    assert status == 0
    assert lines[-1] == "nothing failed"
    assert rows(lines)["first"] == rows(lines)["second"] == ["1", "0", "0"]
    slowest = lines[lines.index("the slowest tests:") :]
    assert any("first/test_a.py::test_good" in line for line in slowest)


def test_a_test_that_fails_is_named_at_the_end_and_hides_no_section(run):
    status, lines = run({"first/test_a.py": GOOD + BAD, "second/test_b.py": GOOD})
    assert status == 1
    assert lines[-2:] == ["failed:", "  first: first/test_a.py::test_bad"]
    assert rows(lines)["first"] == ["1", "1", "0", "FAILED"]
    assert rows(lines)["second"] == ["1", "0", "0"]


def test_sources_that_do_not_pass_hide_no_test(run):
    status, lines = run({"first/test_a.py": GOOD, "second/test_b.py": GOOD}, lint=("the format",))
    assert status == 1
    assert lines[-1] == "  lint: the format"
    assert rows(lines)["second"] == ["1", "0", "0"]


def test_without_a_library_no_test_runs(run):
    status, lines = run({"first/test_a.py": GOOD, "second/test_b.py": GOOD}, built=False)
    assert status == 1
    assert "  build: build" in lines
    assert lines[-1] == "  second: not run: there is no library to test"


def test_a_section_that_cannot_be_collected_or_is_empty_fails(run):
    status, lines = run({"first/test_a.py": "import nonexistent\n", "second/none.py": ""})
    assert status == 1
    assert "  first: first/test_a.py" in lines
    assert lines[-1].endswith("second: exit status 5")


def test_a_test_that_is_skipped_is_named_at_the_end_with_its_reason(run):
    status, lines = run({"first/test_a.py": GOOD + SKIPPED, "second/test_b.py": GOOD})
    assert status == 0
    assert lines[-4:] == [
        *("skipped:", "  first/test_a.py::test_no_root: only root does it"),
        *("", "nothing failed"),
    ]
    assert rows(lines)["first"] == ["1", "0", "1"]


def test_each_step_of_a_newcomer_has_its_time_in_the_order_of_the_steps(run, monkeypatch):
    monkeypatch.setattr(testing, "STEPS", "second/")
    steps = "def test_last_by_name():\n    pass\n\ndef test_first_by_name():\n    pass\n"
    _, lines = run({"first/test_a.py": GOOD, "second/test_b.py": steps})
    begin = next(i for i, line in enumerate(lines) if line.startswith("second/test_b.py: "))
    said = [line.split() for line in lines[begin : begin + 3]]
    assert said[0][2] == "s"
    assert [words[1:] for words in said[1:]] == [
        ["s", "test_last_by_name"],
        ["s", "test_first_by_name"],
    ]


def test_files_that_need_the_machine_for_themselves_have_it(run, monkeypatch):
    monkeypatch.setattr(testing, "ALONE", {"first/test_b.py": "for this test"})
    beside, alone = WHERE.format(expected=True), WHERE.format(expected=False)
    status, lines = run(
        {"first/test_a.py": beside, "first/test_b.py": alone, "second/test_c.py": beside}
    )
    assert status == 0
    assert rows(lines)["first"] == ["2", "0", "0"]


def test_every_test_is_in_a_section():
    files = {*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("c_tests/**/test*.c")}
    folders = [ROOT / folder for folders in testing.FOLDERS.values() for folder in folders]
    assert files
    assert [f for f in files if not any(f.is_relative_to(folder) for folder in folders)] == []
    assert [file for file in testing.ALONE if not (ROOT / file).exists()] == []


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


# ---- bare Debians


def test_where_root_has_no_rights_a_bare_debian_is_skipped_with_the_reason():
    code = "from support import bare_debian; print(bare_debian.lacking())"
    command = ["unshare", "--map-root-user", sys.executable, "-c", code]
    path = f"{ROOT / 'tests'}:{ROOT / 'devtools' / 'bootstrap'}"
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert "which root may not make here" in result.stdout


def test_a_machine_that_is_removed_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "ROOTS", tmp_path)
    monkeypatch.setattr(bare_debian, "as_root", lambda command: command)
    with pytest.raises(KeyboardInterrupt), bare_debian.bare_debian("trixie") as machine:
        (machine.root / "etc").mkdir(parents=True)
        raise KeyboardInterrupt
    assert not machine.root.exists()
