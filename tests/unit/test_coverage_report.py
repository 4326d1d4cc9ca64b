# SPDX-License-Identifier: Apache-2.0
"""What ./bootstrap coverage decides and prints; what it measures only a run of it shows."""

import ast
import sys
import types
from pathlib import Path

import covering
import pytest
import testing
from coverage_report import write_report
from coverage_report.write_report import Covered
from support.builds import ROOT

GCOVR = {
    "files": [
        {
            "filename": "libmemif_py/native/core/ring.h",
            "line_total": 4,
            "line_covered": 3,
            "branch_total": 8,
            "branch_covered": 2,
        }
    ]
}
COVERAGE = {
    "files": {
        "libmemif_py/a.py": {
            "summary": {
                "num_statements": 10,
                "covered_lines": 9,
                "num_branches": 0,
                "covered_branches": 0,
            }
        },
        "libmemif_py/empty/__init__.py": {
            "summary": {
                "num_statements": 0,
                "covered_lines": 0,
                "num_branches": 0,
                "covered_branches": 0,
            }
        },
    }
}


def test_one_table_has_the_files_of_both_languages_and_their_sums():
    files = [*write_report.of_coverage(COVERAGE), *write_report.of_gcovr(GCOVR)]
    files.append(Covered("libmemif_py/native/core/arena.c", 100, 100, 2, 2))
    head, *lines = (line.split() for line in write_report.table(files))
    assert head == ["file", "lines", "run", "branches", "run", "of", "all"]
    assert lines == [
        ["libmemif_py/a.py", "10", "9", "0", "0", "-"],
        ["libmemif_py/native/core/arena.c", "100", "100", "2", "2", "100.0%"],
        ["libmemif_py/native/core/ring.h", "4", "3", "8", "2", "25.0%"],
        ["C", "104", "103", "10", "4", "40.0%"],
        ["Python", "10", "9", "0", "0", "-"],
    ]


@pytest.mark.parametrize("place", ["/measured/.venv/lib", "/measured/tests/programs"])
def test_the_interpreter_of_the_measured_libraries_starts_coverage_first(
    tmp_path, monkeypatch, place
):
    before = (ROOT / covering.EMBEDDING).read_text()
    source = tmp_path / "imports.c"
    source.write_text(before)
    covering.measure_embedded(source, Path("/measured/.venv"))
    lines = zip(before.splitlines(), source.read_text().splitlines(), strict=True)
    ((old, new),) = [(a, b) for a, b in lines if a != b]
    assert old.startswith("static const char import_code[] =")
    monkeypatch.setattr(sys, "path", [place])
    monkeypatch.setitem(sys.modules, "start_coverage", types.ModuleType("start_coverage"))
    names = []
    code = ast.literal_eval(new[new.index('"') :])
    builtins = {"any": any, "__import__": import_noting(names)}
    exec(code, {"__builtins__": builtins})  # noqa: S102 - ours
    assert names == ["sys", *(["start_coverage"] if "venv" in place else [])]


def import_noting(names: list[str]):
    def imported(name, *_):
        names.append(name)
        return sys.modules[name]

    return imported


def test_without_the_place_for_it_the_measurement_does_not_begin(tmp_path):
    source = tmp_path / "imports.c"
    source.write_text("static const char import_code[] = NULL;")
    with pytest.raises(SystemExit, match="expected"):
        covering.measure_embedded(source, tmp_path)


def test_its_sections_and_the_tests_that_it_leaves_out_exist():
    assert set(covering.SECTIONS) <= set(testing.FOLDERS)
    folders = tuple(f"{f}/" for section in covering.SECTIONS for f in testing.FOLDERS[section])
    assert all(path.startswith(folders) for path in covering.LEFT_OUT)
    assert all((ROOT / path).exists() for path in covering.LEFT_OUT)


@pytest.mark.parametrize("arguments", [["--only"], ["--only", "fresh"], ["now"]])
def test_a_command_line_that_makes_no_sense_is_told(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        covering.coverage(*arguments)
    assert "usage: ./bootstrap coverage" in capsys.readouterr().err
