# SPDX-License-Identifier: Apache-2.0
"""`memif top` shows counters and rings."""

import json

from support.memif_command import interrupt
from support.programs import TIMEOUT

from libmemif_py import Interface


def test_top_counts_and_shows_what_lies_in_the_rings(shell):
    with Interface(shell.socket, role="master") as ours:
        top = shell.start("top", shell.socket, "--packets", "keep", "--json", "-d", 0.1)
        ours.send_burst([bytes(60)] * 2 + [bytes(9000)], TIMEOUT)
        rx, tx = json.loads(top.line())
        while rx["ring_fill"] != 7:
            rx, tx = json.loads(top.line())
        assert rx["ring_packets"] == 3
        assert (rx["direction"], rx["ring_size"], rx["connected"]) == ("rx", 1024, True)
        assert (tx["direction"], tx["ring_fill"]) == ("tx", 0)
        interrupt(top, 0)


def test_top_shows_a_table(shell):
    with Interface(shell.socket, role="master"):
        output = shell.run("top", shell.socket, "-n", 1, "--wait", TIMEOUT).stdout
    assert "connected to libmemif_py" in output
    assert "rx 0" in output
