# SPDX-License-Identifier: Apache-2.0
"""What `./bootstrap mutate` makes of a C source, and that a mutant of it is noticed."""

import subprocess
import tomllib
from pathlib import Path

import pytest
from data_path.record import FILE, Record
from data_path.schemata import rewrite
from data_path.scratch import all_mutants
from spin.models import MODELS

HEADER = Path(__file__).parents[2] / "devtools" / "mutation" / "mutant.h"
SOURCE = b"""
#include <stdio.h>
static int limit = 3;
static void count(int *n) { (*n)++; }
static int sum_below(int most)
{
    int sum = 0;
    for (int i = 0; i < most && i < limit; i++)
        sum = sum + i;
    return sum;
}
int main(void)
{
    int calls = 0;
    count(&calls);
    return printf("%d %d\\n", sum_below(10), calls) < 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutated")
    text, mutants = rewrite("sum.c", SOURCE)
    (folder / "sum.c").write_bytes(text)
    command = ["gcc", "-std=gnu11", "-O1", "-include", HEADER, "sum.c", "-o", "sum"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "sum", mutants


def said(program, number, **more):
    result = subprocess.run(
        [program], env={"MUTANT": str(number), **more}, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def number_of(mutants, text, change):
    return next(m.number for m in mutants if (m.place.text, m.change) == (text, change))


def test_a_source_with_no_mutant_on_does_what_it_did(program):
    assert said(program[0], 0) == "3 1"


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        ("i < limit", "<=", "6 1"),
        ("i < limit", "one less", "1 1"),
        ("i < limit", "true", "45 1"),
        ("i < limit", "false", "0 1"),
        ("sum + i", "left", "0 1"),
        ("sum + i", "right", "2 1"),
        ("count(&calls);", "dropped", "3 0"),
        ("sum = sum + i;", "dropped", "0 1"),
    ],
)
def test_each_change_is_made_alone(program, text, change, expected):
    path, mutants = program
    assert said(path, number_of(mutants, text, change)) == expected


def test_what_would_make_no_difference_is_not_reached(program, tmp_path):
    path, mutants = program
    reached = tmp_path / "reached"
    reached.write_bytes(bytes(max(m.number for m in mutants) + 1))
    said(path, -1, MUTANTS_REACHED=str(reached))
    marks = reached.read_bytes()
    assert marks[number_of(mutants, "i < limit", "true")]
    assert not marks[number_of(mutants, "i < most", "true")]


def test_the_record_explains_the_mutants_of_a_place_and_no_others():
    _, mutants = rewrite("sum.c", SOURCE)
    record = Record(
        '[[mutant]]\nfile = "sum.c"\nfunction = "sum_below"\ntext = ["i < most"]\n'
        'change = "true"\nwhy = "limit is less"\n'
        '[[mutant]]\nfile = "sum.c"\nfunction = "gone"\ntext = "x"\nchange = "true"\nwhy = "-"\n'
    )
    explained = [(m.place.text, m.change) for m in mutants if record.why(m)]
    assert explained == [("i < most", "true")]
    assert record.stale(mutants) == ["sum.c: gone: x -> true"]


def test_the_record_of_the_data_path_fits_its_sources_and_the_models():
    assert Record(FILE.read_text()).stale(all_mutants()) == []
    named = {
        entry["model"] for entry in tomllib.loads(FILE.read_text())["mutant"] if "model" in entry
    }
    faults = {f"{name}: {fault}" for name, model in MODELS.items() for fault in model.faults}
    assert named <= faults
