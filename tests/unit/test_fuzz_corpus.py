# SPDX-License-Identifier: Apache-2.0
"""The archives that the fuzzing targets begin with."""

import subprocess
import sys
import zipfile
from pathlib import Path

import corpus
import faults
import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"


@pytest.mark.parametrize("target", corpus.TARGETS)
def test_the_archive_of_a_target_holds_inputs_each_under_the_name_of_its_contents(target):
    with zipfile.ZipFile(corpus.archive_of(target)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    inputs = corpus.read(corpus.archive_of(target))
    assert len(inputs) > 50
    assert names == sorted(map(corpus.name_of, inputs))


@pytest.mark.parametrize("target", corpus.TARGETS)
def test_the_same_inputs_make_the_same_archive(target, tmp_path):
    again = tmp_path / "again.zip"
    corpus.write(again, reversed(corpus.read(corpus.archive_of(target))))
    assert again.read_bytes() == corpus.archive_of(target).read_bytes()


def test_an_input_that_is_added_is_there_once(tmp_path):
    archive = tmp_path / "archive.zip"
    assert corpus.add(archive, [b"one", b"two"]) == 2
    assert corpus.add(archive, [b"two", b"three", b"three"]) == 1
    assert sorted(corpus.read(archive)) == [b"one", b"three", b"two"]


def test_what_is_unpacked_are_files_that_can_be_added_again(tmp_path):
    archive = tmp_path / "archive.zip"
    corpus.add(archive, [b"one", b""])
    corpus.unpack(archive, tmp_path / "folder")
    files = list((tmp_path / "folder").iterdir())
    assert sorted(file.read_bytes() for file in files) == [b"", b"one"]
    assert corpus.add(archive, [file.read_bytes() for file in files]) == 0


def test_the_command_adds_files(tmp_path):
    """On a copy of the folder, whose archives are its own."""
    program = tmp_path / "corpus.py"
    program.write_bytes((FUZZ / "corpus.py").read_bytes())
    (tmp_path / "corpus").mkdir()
    (tmp_path / "found").write_bytes(b"found")
    command = [sys.executable, program, "add", "entry", tmp_path / "found"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.startswith("1 of 1 inputs are new")
    assert corpus.read(tmp_path / "corpus" / "entry.zip") == [b"found"]


@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_fault_to_be_found_changes_a_file(name):
    fault = faults.FAULTS[name]
    assert fault.text in (faults.NATIVE / fault.file).read_text()
