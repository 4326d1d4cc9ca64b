# SPDX-License-Identifier: Apache-2.0
"""What a Python program sees of an interface at moments that are hard to meet by chance."""

import sys

import builds

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
