# SPDX-License-Identifier: Apache-2.0
"""What a link shares with its peer, and what becomes of it in a forked child."""

import os
import threading

import pytest
from support.children import in_child
from support.rig import rig_in

from libmemif_py.control import system
from libmemif_py.control.lock import LOCK


def connected(rig, **settings):
    """A master and a slave that are up."""
    master, _ = rig.add(True)
    slave, _ = rig.add(False, **settings)
    rig.poll(lambda: master.connected and slave.connected)
    return master, slave


def is_open(fd):
    return os.path.lexists(f"/proc/self/fd/{fd}")


@pytest.mark.parametrize(("version", "count"), [(256, 1), (512, 2)])
def test_version_256_has_all_in_one_region(tmp_path, version, count):
    """Its peers expect that; those of version 512 have the buffers in another."""
    with rig_in(tmp_path) as rig:
        for endpoint in connected(rig, max_version=version):
            assert len(endpoint.link.regions) == count


def test_a_burst_of_a_master_never_waits_at_the_eventfd_of_a_peer(tmp_path, monkeypatch):
    """It drains it without knowing whether it was signalled."""
    monkeypatch.setattr(system, "eventfd", lambda *_: os.eventfd(0))
    with rig_in(tmp_path) as rig:
        master, _ = connected(rig)
        assert [os.get_blocking(fd) for fd in master.link.rx_efds()] == [False]


# ---- in a forked child ----


@pytest.mark.parametrize("is_at_work", [False, True])
def test_a_child_closes_only_descriptors_whose_numbers_are_certain(tmp_path, is_at_work):
    """A thread that was at work may have closed one just before, and the number be another's."""
    begun, ended = threading.Event(), threading.Event()

    def work():
        with LOCK:
            begun.set()
            ended.wait(60)

    with rig_in(tmp_path) as rig:
        master, slave = connected(rig)
        timer = rig.hub._deadlines.fileno()
        fds = [timer, *master.link.rx_efds(), *slave.link.rx_efds()]
        thread = threading.Thread(target=work)
        if is_at_work:
            thread.start()
            assert begun.wait(60)
        try:
            assert (
                in_child(lambda: [os.path.lexists(f"/proc/self/fd/{fd}") for fd in fds])
                == [is_at_work] * 3
            )
        finally:
            ended.set()
            if is_at_work:
                thread.join()
