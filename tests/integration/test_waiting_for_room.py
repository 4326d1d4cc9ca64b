# SPDX-License-Identifier: Apache-2.0
"""Senders of memif_ext.h that sleep while their ring is full: between processes, to real peers."""

import pytest
from support.c_collector import build_directories
from support.programs import Launcher
from support.testpmd_peers import DEVICES, Peers, own_role, wait_for_links

PACKETS = 5_000
# A burst of the sender has more.
SLOTS_LOG2 = 4
OTHER = {"master": "slave", "slave": "master"}

senders = pytest.mark.parametrize("sender", ["v1", "v4"])
hows = pytest.mark.parametrize("how", ["wait", "watch"])


@pytest.mark.parametrize("receiver", ["v1", "v4", "python"])
@senders
@hows
@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("version", [256, 512])
def test_every_packet_arrives_at_our_ends(
    tmp_path, pytestconfig, sender, receiver, how, role, version
):
    launcher = Launcher(tmp_path, build_directories(pytestconfig)[0].path)
    of = {
        role: (sender, "-n", PACKETS, "-f", how),
        OTHER[role]: (receiver, "-N", PACKETS),
    }

    def side(role):
        language, *words = of[role]
        return launcher.traffic(language, role, "-l", SLOTS_LOG2, *words, version=version)

    with side("master") as master, side("slave") as slave:
        sides = {"master": master, "slave": slave}
        sent, received = sides[role].result(), sides[OTHER[role]].result()
        master.end()
        slave.end()
    assert (sent["sent"], received["received"]) == ([PACKETS], [PACKETS])
    assert sent["waits"] > 0


@pytest.mark.parametrize("device", DEVICES)
@senders
@hows
def test_every_packet_arrives_at_testpmd(tmp_path, pytestconfig, device, sender, how):
    """It says nothing of room, so our end looks. Before it forwards it takes nothing."""
    peers = Peers(tmp_path, build_directories(pytestconfig)[0].path)

    def ours():
        return peers.traffic(sender, own_role(device), "-n", PACKETS, "-f", how)

    with peers.in_order(device, ours, peers.testpmd(device, "rxonly")) as (side, testpmd):
        wait_for_links(testpmd)
        testpmd.command("start")
        sent = side.result()
        testpmd.wait_for_stats(lambda stats: stats["rx_packets"] == PACKETS)
        testpmd.command("stop")
        side.end()
    assert sent["sent"] == [PACKETS]
    assert sent["waits"] > 0
