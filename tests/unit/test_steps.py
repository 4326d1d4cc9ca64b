# SPDX-License-Identifier: Apache-2.0
"""A tear-down takes all of its steps, and tells of every error."""

import gc

import pytest

from libmemif_py.control.steps import Steps


def fail(text: str) -> None:
    raise ValueError(text)


def test_every_step_is_taken_and_the_first_error_has_the_others_as_notes():
    taken = []
    with pytest.raises(ValueError, match="one") as caught, Steps() as steps:
        steps.take(taken.append, 1)
        steps.take(fail, "one")
        steps.take(taken.append, 2)
        steps.take(fail, "two")
        steps.take(fail, "three")
        steps.take(taken.append, 3)
    assert taken == [1, 2, 3]
    notes = ["and then: ValueError('two')", "and then: ValueError('three')"]
    assert caught.value.__notes__ == notes


def test_without_an_error_nothing_is_raised():
    taken = []
    with Steps() as steps:
        steps.take(taken.append, 1)
    assert taken == [1]


def test_an_error_between_the_steps_is_the_first():
    with pytest.raises(KeyError) as caught, Steps():
        raise KeyError("between")
    assert not hasattr(caught.value, "__notes__")


def test_an_error_between_the_steps_is_a_note_of_one_before_it():
    with pytest.raises(ValueError, match="step") as caught, Steps() as steps:
        steps.take(fail, "step")
        raise KeyError("between")
    assert caught.value.__notes__ == ["and then: KeyError('between')"]


def test_the_error_that_is_undone_is_raised():
    taken = []
    with pytest.raises(ValueError, match="why") as caught:
        try:
            fail("why")
        except ValueError as error:
            with Steps(error) as steps:
                steps.take(taken.append, 1)
                steps.take(fail, "undoing")
    assert taken == [1]
    assert caught.value.__notes__ == ["and then: ValueError('undoing')"]


def test_an_error_is_no_note_of_itself():
    error = KeyError("again")

    def fail_again() -> None:
        raise error

    with pytest.raises(KeyError) as caught, Steps(error) as steps:
        steps.take(fail_again)
    assert not hasattr(caught.value, "__notes__")


def test_what_ends_the_process_is_an_error_like_others():
    taken = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Steps() as steps:
        steps.take(interrupt)
        steps.take(taken.append, 1)
    assert taken == [1]


def test_an_error_keeps_nothing_alive_in_a_cycle():
    class Kept:
        alive = 0

        def __init__(self):
            Kept.alive += 1

        def __del__(self):
            Kept.alive -= 1

    def tear_down() -> None:
        kept = Kept()  # in the frame that the traceback names
        with Steps() as steps:
            steps.take(fail, "step")
        del kept

    gc.disable()
    try:
        with pytest.raises(ValueError, match="step") as caught:
            tear_down()
        del caught
        assert Kept.alive == 0
    finally:
        gc.enable()
