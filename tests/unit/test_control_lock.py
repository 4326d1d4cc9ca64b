# SPDX-License-Identifier: Apache-2.0
"""The control lock, and the threads that need a hub."""

import contextlib
import threading

import pytest

from libmemif_py.control.lock import ControlLock, Users


def is_free(lock: ControlLock) -> bool:
    """Whether another thread gets it."""
    got = []

    def take() -> None:
        if lock.acquire(blocking=False):
            got.append(True)
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return bool(got)


@contextlib.contextmanager
def elsewhere(context):
    """While another thread is inside of a context."""
    inside, end = threading.Event(), threading.Event()

    def stay() -> None:
        with context:
            inside.set()
            end.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextlib.contextmanager
def never_released(lock: ControlLock):
    lock.acquire()
    yield


def test_a_thread_may_take_it_again():
    lock = ControlLock()
    assert not lock.is_own()
    with lock:
        with lock:
            assert lock.is_own()
        assert lock.is_own()
        assert not is_free(lock)
    assert not lock.is_own()
    assert is_free(lock)


def test_who_does_not_hold_it_is_told_so():
    lock = ControlLock()
    with elsewhere(lock):
        assert not lock.is_own()


def test_for_a_callback_it_is_free_however_often_it_was_taken():
    lock = ControlLock()
    with lock, lock, lock:
        with lock.unlocked():
            assert not lock.is_own()
            assert is_free(lock)
        assert lock.is_own()
        assert not is_free(lock)
    assert is_free(lock)


def test_after_a_callback_that_fails_it_is_held_again():
    lock = ControlLock()
    with lock:
        with pytest.raises(ZeroDivisionError), lock.unlocked():
            _ = 1 / 0
        assert not is_free(lock)
    assert is_free(lock)


def test_a_forked_child_takes_it_from_a_thread_that_is_gone():
    lock = ControlLock()
    with elsewhere(never_released(lock)):
        assert not is_free(lock)
        assert lock.start_over() is False
        assert is_free(lock)
        assert not lock.is_own()
        with lock:
            assert not is_free(lock)
        assert is_free(lock)


def test_a_forked_child_keeps_what_it_holds_itself():
    lock = ControlLock()
    assert lock.start_over() is True
    assert is_free(lock)
    with lock:
        assert lock.start_over() is False
        assert not is_free(lock)
    assert is_free(lock)


def test_a_thread_counts_once_however_deep_it_is():
    users = Users()
    assert len(users) == 0
    with users:
        with users:
            assert len(users) == 1
        assert len(users) == 1
    assert len(users) == 0


def test_each_thread_counts():
    users = Users()
    with elsewhere(users):
        with users:
            assert len(users) == 2
        assert len(users) == 1
    assert len(users) == 0
