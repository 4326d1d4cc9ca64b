# SPDX-License-Identifier: Apache-2.0
"""Bursts that a child inherits raise there and end locally."""

import gc
import threading
from collections.abc import Callable
from typing import Any

from support.children import TIMEOUT, all_forked, in_child, outcomes


def test_inherited_bursts_raise_and_end_locally(pair):
    master, slave = pair
    slave.send_burst([b"one", b"two"], TIMEOUT)
    received = master.rx_burst(2, TIMEOUT)
    reserved = master.tx_burst(2, 3, TIMEOUT)
    view = received[0]
    other = {"rx": received, "tx": reserved}

    def work() -> tuple[dict[str, str], bytes]:
        calls = {}
        for name, burst in other.items():
            calls[f"{name} rows"] = lambda burst=burst: burst.rows
            calls[f"{name} data"] = lambda burst=burst: burst.data
            calls[f"{name} item"] = lambda burst=burst: burst[0]
            calls[f"{name} iteration"] = lambda burst=burst: list(burst)
        calls["tx send"] = reserved.send
        found = outcomes(calls)
        seen = bytes(view)  # a view that is there is memory, and stays so
        view.release()
        received.release()
        reserved.release()
        return found, seen

    found, seen = in_child(work)
    assert found == all_forked(found)
    assert seen == b"one"
    assert [bytes(view), bytes(received[1])] == [b"one", b"two"]
    view.release()
    received.release()
    for row in reserved:
        row[:] = b"abc"
        row.release()
    assert reserved.send() == 2
    assert slave.recv_burst(2, TIMEOUT) == [b"abc", b"abc"]


def test_blocks_of_inherited_bursts(pair):
    """The end of a block that would have sent says that nothing was."""
    master, slave = pair
    slave.send(b"packet", TIMEOUT)
    received, reserved = master.rx_burst(1, TIMEOUT), master.tx_burst(1, 3, TIMEOUT)

    def leave(burst: Any) -> Callable[[], None]:
        def call() -> None:
            with burst:
                pass

        return call

    calls = {"rx": leave(received), "tx": leave(reserved)}
    assert in_child(lambda: outcomes(calls)) == {"rx": "no error", "tx": "ForkedError"}
    received.release()
    assert reserved.send(0) == 0


def test_bursts_are_collected_in_a_child(pair):
    master, slave = pair
    slave.send(b"packet", TIMEOUT)
    bursts = [master.rx_burst(1, TIMEOUT), master.tx_burst(1, 3, TIMEOUT)]

    def work() -> None:
        bursts.clear()
        gc.collect()

    assert in_child(work) is None
    assert bytes(bursts[0][0]) == b"packet"
    bursts[0].release()
    bursts[1].release()


def test_a_burst_that_another_thread_holds_holds_nobody_up(pair):
    master, slave = pair
    slave.send(b"packet", TIMEOUT)
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with master.rx_burst(1, TIMEOUT), slave.tx_burst(1, 3, TIMEOUT):
            held.set()
            end.wait(TIMEOUT)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(TIMEOUT)
        calls = {
            "recv": master.recv,
            "rx_burst": master.rx_burst,
            "send": lambda: slave.send(b"x"),
            "tx_burst": lambda: slave.tx_burst(1, 3),
        }
        assert in_child(lambda: outcomes(calls)) == all_forked(calls)
    finally:
        end.set()
        holder.join()
    slave_sent = master.recv(TIMEOUT)  # the reserved one, sent at the end of the block
    assert len(slave_sent) == 3
