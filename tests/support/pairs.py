# SPDX-License-Identifier: Apache-2.0
"""Two connected interfaces in one process, for tests that have both ends in their hands."""

import contextlib
import itertools
import threading
from collections.abc import Iterator

import pytest

from libmemif_py import Interface
from libmemif_py.control.lock import LOCK

TIMEOUT = 20.0
RING = 16
BUFFER = 256
KINDS = [*itertools.product((256, 512), ("master", "slave"))]


@contextlib.contextmanager
def pair(version: int = 512, role: str = "slave", **options) -> Iterator[tuple[Interface, ...]]:
    """A sender in the role given, and its receiver, connected."""
    name = f"@bursts-{threading.get_native_id()}-{next(numbers)}"
    settings = {"ring_size": RING, "buffer_size": BUFFER, "version": version} | options
    with (
        Interface(name, role="master", **settings) as master,
        Interface(name, **settings) as slave,
    ):
        sender, receiver = (master, slave) if role == "master" else (slave, master)
        sender.wait_connected(TIMEOUT)
        receiver.wait_connected(TIMEOUT)
        yield sender, receiver


numbers = itertools.count()
each_kind = pytest.mark.parametrize(("version", "role"), KINDS)


def packet(number: int, size: int) -> bytes:
    return bytes((number * 31 + at) % 256 for at in range(size))


def capacity(sender: Interface) -> int:
    """How many packets fit the ring now; they are taken back."""
    burst = sender.tx_burst(RING, 1, 0)
    count = len(burst)
    burst.release()
    return count


def in_thread(work) -> tuple[threading.Thread, list]:
    """Starts `work`; its result, or its exception, is appended to the list."""
    outcome: list = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def joined(thread: threading.Thread) -> None:
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def reconnect(one: Interface, other: Interface) -> None:
    """Cut the link from below and wait for the next: the slave tries again by itself."""
    up = threading.Event()
    slave = one if one.details().role == "slave" else other
    before = slave._endpoint.link
    slave._observer.on_connect = lambda _: up.set()
    with LOCK:
        before.disconnect("cut by the test")
        slave._endpoint.hub.cancel_deadline(slave._endpoint)
        slave._endpoint.hub.set_deadline(slave._endpoint, 0)
    assert up.wait(TIMEOUT)
    one.wait_connected(TIMEOUT)
    other.wait_connected(TIMEOUT)


def views_of(burst) -> dict:
    """Every kind of view that keeps a burst's slots, by what makes it."""
    return {
        "packet": lambda: burst[0],
        "slice": lambda: burst[0][1:3],
        "rows": lambda: burst.rows,
        "array": lambda: burst.data,
        "part of an array": lambda: burst.data[:, 1:],
    }


VIEWS = sorted(views_of(None))
