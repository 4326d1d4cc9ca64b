# SPDX-License-Identifier: Apache-2.0
"""The models of proofs/spin: nothing is wrong with them, and a seeded fault is."""

import re
import shutil

import pytest
from spin import check
from support.builds import ROOT

FOLDER = ROOT / "proofs" / "spin"
MODELS = check.MODELS
GOOD = [(name, setting) for name, model in MODELS.items() for setting in model.short]
LOSSES = [(name, setting) for name, model in MODELS.items() for setting in model.losses]
FAULTS = [
    (name, (f"FAULT_{fault}", *setting))
    for name, model in MODELS.items()
    for fault, setting in model.faults.items()
]
UNSEEN = [
    (name, (f"FAULT_{fault}", *setting))
    for name, model in MODELS.items()
    for fault, setting in model.unseen.items()
]


def each(cases):
    return pytest.mark.parametrize(
        ("name", "setting"), cases, ids=[check.shown(*case) for case in cases]
    )


@each(GOOD)
def test_spin_finds_nothing(name, setting):
    found = check.search(name, setting)
    assert not found.found, check.search(name, setting, with_trail=True).trail
    assert found.states > 1000


@each(FAULTS)
def test_spin_finds_a_seeded_fault(name, setting):
    assert check.search(name, setting).found


@each(LOSSES)
def test_spin_finds_what_is_said_to_be_lost(name, setting):
    assert check.search(name, setting).found


@each(UNSEEN)
def test_spin_finds_nothing_without_what_a_model_does_not_need(name, setting):
    assert not check.search(name, setting).found


@pytest.mark.parametrize("name", MODELS)
def test_each_fault_of_a_model_is_searched_for(name):
    written = set(re.findall(r"\bFAULT_(\w+)", (FOLDER / f"{name}.pml").read_text()))
    searched = {*MODELS[name].faults, *MODELS[name].unseen}
    shared = set(re.findall(r"\bFAULT_(\w+)", (FOLDER / "ring.pml").read_text()))
    assert written <= searched <= written | shared
    assert shared <= {*MODELS["wake"].faults, *MODELS["wake"].unseen}


@pytest.mark.parametrize("name", MODELS)
def test_somebody_looked_at_a_model_since_the_sources_changed(name):
    assert check.sources.changes([name]) == []


def test_a_changed_function_is_named_with_the_model_and_the_command(tmp_path):
    shutil.copytree(ROOT / "libmemif_py", tmp_path / "libmemif_py")
    source = tmp_path / "libmemif_py/native/core/signals.c"
    text = source.read_text()
    assert text.count("atomic_thread_fence(memory_order_seq_cst);") == 1
    source.write_text(text.replace("atomic_thread_fence(memory_order_seq_cst);", ""))
    (problem,) = check.sources.changes(["wake"], tmp_path)
    assert "core/signals.c: mif_wake is not as it was: look at model wake" in problem
    assert problem.endswith("`python proofs/spin/check.py --looked-at wake`")


def test_comments_and_white_space_of_a_function_may_change(tmp_path):
    shutil.copytree(ROOT / "libmemif_py", tmp_path / "libmemif_py")
    for file, begin, after in (
        ("native/core/signals.c", "bool mif_wake(struct mif_queue *q)\n{\n", "    /* why */\n"),
        ("control/lock.py", "    def __len__(self) -> int:\n", "        # why\n"),
    ):
        source = tmp_path / "libmemif_py" / file
        text = source.read_text()
        assert begin in text
        source.write_text(text.replace(begin, begin + after))
    assert check.sources.changes(["wake", "control"], tmp_path) == []


@pytest.mark.parametrize("name", ["wake", "control"])
def test_a_function_that_is_gone_is_named(name, tmp_path):
    problems = check.sources.changes([name], tmp_path)
    assert len(problems) == len(list(check.sources.functions_of(name)))


def test_a_search_that_does_not_end_is_an_error():
    with pytest.raises(RuntimeError, match="did not end"):
        check.Search.of("error: max search depth too small\n errors: 0\n 12 states, stored\n")
