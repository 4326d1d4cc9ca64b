# SPDX-License-Identifier: Apache-2.0
"""What a Python program sees of an interface at moments that are hard to meet by chance."""

import os
import sys

import builds
import pytest

from libmemif_py import Interface

TIMEOUT = 60.0

SENT_IS_CONNECTED = """
import sys, time
from libmemif_py import Interface

went_up = Interface._went_up
def late(self, endpoint):
    time.sleep(0.2)
    went_up(self, endpoint)
Interface._went_up = late

with Interface(sys.argv[1], role="master") as master, Interface(sys.argv[1]) as slave:
    slave.send(b"packet", 20)
    print(slave.connected, master.recv(20), master.connected)
"""


def test_what_has_sent_is_connected(tmp_path, tmp_path_factory):
    """The queues are open before the interface hears of it; packets wait for the latter."""
    installed = builds.release(tmp_path_factory)
    command = [sys.executable, "-c", SENT_IS_CONNECTED, tmp_path / "socket"]
    variables = {"PYTHONPATH": str(installed.package.parent)}
    result = builds.run(command, env=variables, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("True b'packet' True\n", "")


@pytest.mark.parametrize("raising", ["on_connect", "on_disconnect"])
def test_a_callback_that_raises_ends_no_link_and_leaks_nothing(tmp_path, monkeypatch, raising):
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: shown.append(kind))

    def fail(*_):
        raise ZeroDivisionError

    path = tmp_path / "memif.sock"
    held = []
    with Interface(path, role="master", **{raising: fail}) as master:
        for _ in range(4):
            # Let in when the one before it is forgotten.
            with Interface(path) as slave:
                slave.send(b"packet", TIMEOUT)
                assert master.recv(TIMEOUT) == b"packet"
                held.append(len(os.listdir("/proc/self/fd")))
    assert set(held[1:]) == {held[0]}
    assert set(shown) == {ZeroDivisionError}
