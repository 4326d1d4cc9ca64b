# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest
from testpmd import Testpmd, TestpmdError, memif_vdev


def test_a_server_answers_commands_and_quits(tmp_path):
    vdev = memif_vdev("server", tmp_path / "memif.sock")
    with Testpmd([vdev], ["--forward-mode=icmpecho"]) as testpmd:
        assert testpmd.command("start").startswith("icmpecho packet forwarding")
        assert "Driver name: net_memif" in testpmd.command("show port info 0")
        assert testpmd.stats()["rx_packets"] == 0
        assert not testpmd.link_is_up()
        pid = testpmd.pid
        assert (tmp_path / "memif.sock").is_socket()
    assert not Path(f"/proc/{pid}").exists()
    assert testpmd.transcript.endswith("Bye...\n")


def test_what_one_sends_the_other_receives(tmp_path):
    socket = tmp_path / "memif.sock"
    with (
        Testpmd([memif_vdev("server", socket)], ["--forward-mode=rxonly"]) as server,
        Testpmd([memif_vdev("client", socket)], ["--forward-mode=txonly"]) as client,
    ):
        server.wait_for_link()
        client.wait_for_link()
        server.command("start")
        client.command("start")
        client.wait_for_stats(lambda stats: stats["tx_packets"] >= 10_000)
        client.command("stop")
        sent = client.stats()["tx_packets"]
        received = server.wait_for_stats(lambda stats: stats["rx_packets"] == sent)
        assert received["rx_bytes"] == 64 * sent
        server.command("stop")  # its driver may crash when a peer leaves while it forwards


def test_a_device_that_cannot_be_made_is_an_error_that_shows_the_output(tmp_path):
    testpmd = Testpmd([memif_vdev("neither", tmp_path / "memif.sock")])
    with pytest.raises(TestpmdError, match="neither"), testpmd:
        pass
    with pytest.raises(TestpmdError, match="not running"):
        testpmd.command("start")


def test_a_failing_test_does_not_wait_for_quit(tmp_path):
    vdev = memif_vdev("server", tmp_path / "memif.sock")
    with pytest.raises(ZeroDivisionError), Testpmd([vdev]) as testpmd:
        pid = testpmd.pid
        os.kill(pid, 0)
        _ = 1 // 0
    assert not Path(f"/proc/{pid}").exists()


def test_a_missing_program_is_an_error_that_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TestpmdError, match="dpdk-dev"), Testpmd([]):
        pass
