# SPDX-License-Identifier: Apache-2.0
"""`memif top` without a socket: the interfaces of running programs."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.builds import SUPPORT, environment
from support.c_collector import build_directories
from support.memif_command import MEMIF, interrupt
from support.programs import TIMEOUT, Launcher, Program

from libmemif_py import Interface

PEER = """
import sys
from libmemif_py import Interface
with Interface(sys.argv[1], role="master", name=sys.argv[2]) as memif:
    print("ready", flush=True)
    while True:
        memif.recv_burst(256)
"""


@pytest.fixture
def launcher(tmp_path, pytestconfig) -> Launcher:
    return Launcher(tmp_path, build_directories(pytestconfig)[0].path)


def peer(folder, path: str, name: str = "peer") -> Program:
    command = [sys.executable, "-P", "-c", PEER, path, name]
    return Program(command, folder / f"errors of {name}")


def by_pid(line: str) -> dict[int, dict]:
    return {process["pid"]: process for process in json.loads(line)}


def test_top_shows_the_rates_of_programs_under_load(shell, launcher):
    """Of all three kinds, at once."""
    script = f"""
import sys
from libmemif_py import Interface
with Interface({launcher.socket!r}, role="master") as one, Interface({shell.socket!r}) as other:
    other.wait_connected({TIMEOUT})
    print("ready", flush=True)
    while True:
        other.send_burst([bytes(60)] * 32, {TIMEOUT})
"""
    with (
        peer(shell.folder, shell.socket) as receiver,
        launcher.program("icmp_responder4", "-s", launcher.socket, "-i", 0) as v4,
        launcher.example("icmp_responder3", "-i", 0, path=str(shell.folder / "none")) as v1,
    ):
        assert receiver.line() == "ready"
        with Program([sys.executable, "-P", "-c", script], shell.folder / "errors") as sender:
            assert sender.line() == "ready"
            pids = {"receiver": receiver.pid, "v4": v4.pid, "v1": v1.pid, "sender": sender.pid}
            words = [word for pid in pids.values() for word in ("--pid", pid)]
            top = shell.start("top", "--json", "-d", 0.2, *words)
            while True:
                seen = by_pid(top.line())
                assert set(seen) == set(pids.values())
                (receives,) = seen[receiver.pid]["interfaces"]
                (of_v4,) = seen[v4.pid]["interfaces"]
                (of_v1,) = seen[v1.pid]["interfaces"]
                if receives["state"] == of_v4["state"] == "connected" and of_v1["last_error"]:
                    break
            rx = by_pid(top.line())[receiver.pid]["interfaces"][0]["rx"][0]
            sends = next(
                one
                for one in by_pid(top.line())[sender.pid]["interfaces"]
                if one["role"] == "slave"
            )
            interrupt(top, 0)
    assert rx["packets"] > 0
    assert rx["packets_per_second"] > 0
    assert rx["bits_per_second"] == pytest.approx(rx["packets_per_second"] * 480, rel=1e-5)
    assert sends["tx"][0]["packets_per_second"] > 0
    assert (sends["peer_pid"], sends["peer_name"]) == (receiver.pid, "peer")
    assert (of_v4["api"], of_v1["api"], receives["api"]) == ("4.0", "1.0", "Python")
    assert "No such file or directory" in of_v1["last_error"]


def test_top_shows_all_processes_in_tables(shell):
    with (
        peer(shell.folder, shell.socket) as one,
        Interface(shell.socket, name="ours") as ours,
        Interface("@nobody"),
    ):
        assert one.line() == "ready"
        ours.send(bytes(60), TIMEOUT)
        output = shell.run("top", "-n", 1, "-d", 0.1).stdout
    assert f"[{one.pid}]: {shell.socket} (id 0, master): connected to libmemif_py ours" in output
    assert f"[{os.getpid()}]: {shell.socket} (id 0, slave): connected to" in output
    assert f"peer[{one.pid}], version 512" in output
    assert f"[{os.getpid()}]: @nobody (id 0, slave): connect: Connection refused" in output


def test_a_full_ring_is_shown(shell):
    with Interface(shell.socket, role="master"), Interface(shell.socket, ring_size=8) as ours:
        ours.wait_connected(TIMEOUT)
        assert ours.send_burst([bytes(60)] * 9, 0) == 8
        top = by_pid(shell.run("top", "--json", "-n", 1, "-d", 0.1, "--pid", os.getpid()).stdout)
    queues = [one[of][0] for one in top[os.getpid()]["interfaces"] for of in ("rx", "tx")]
    fills = sorted(queue["ring_fill"] for queue in queues)
    assert fills == [0, 0, 8, 8]
    assert sorted(queue["full"] for queue in queues) == [0, 0, 0, 1]


def test_a_process_that_ends_disappears_and_the_next_one_appears(shell):
    top = shell.start("top", "--json", "-d", 0.05)
    for name in ("first", "second"):
        with peer(shell.folder, shell.socket, name) as program:
            assert program.line() == "ready"
            while not (seen := by_pid(top.line()).get(program.pid, {}).get("interfaces")):
                pass
            assert seen[0]["name"] == name
            program.send_signal(signal.SIGKILL)
            program.wait()
        while program.pid in by_pid(top.line()):
            pass
    interrupt(top, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make the namespace")
def test_nothing_to_show_is_said(shell):
    """In a pid namespace that has nobody else."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    command = [*unshare, *MEMIF, "top", "-n", "1", "-d", "0.1"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert result.stdout.strip() == "no process shows interfaces"


def test_a_process_that_shows_nothing_is_an_error(shell):
    result = shell.run("top", "--pid", os.getpid(), status=1)
    assert f"process {os.getpid()} shows no interfaces" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pid", 1, "a.sock"], "--pid is about running programs"),
        (["--prometheus", "127.0.0.1:0", "a.sock"], "--prometheus is about running programs"),
        (["--role", "master"], "--role needs a SOCKET"),
        (["--packets", "echo"], "--packets needs a SOCKET"),
        (["--wait", 3], "--wait needs a SOCKET"),
        (["--json", "--prometheus"], "choose one"),
        (["--prometheus", "here"], "expected ADDRESS:PORT"),
        (["--prometheus", "localhost:99999"], "expected ADDRESS:PORT"),
        (["--prometheus", "name:80"], "expected ADDRESS:PORT"),
    ],
)
def test_options_that_do_not_go_together_are_refused(shell, words, said):
    assert said in shell.run("top", *words, status=2).stderr


def test_the_socket_of_the_environment_is_left_alone(shell, monkeypatch):
    """It is for commands that need one."""
    monkeypatch.setenv("MEMIF_SOCKET", shell.socket)
    with Interface(shell.socket, role="master") as master:
        shell.run("top", "-n", 1, "-d", 0.1, env=environment(MEMIF_SOCKET=shell.socket))
        assert not master.connected


def test_a_hostile_process_neither_ends_top_nor_writes_to_the_terminal(shell):
    command = [sys.executable, "-P", SUPPORT / "false_segment.py"]
    with (
        Program([*command, "words"], shell.folder / "words") as words,
        Program([*command, "many"], shell.folder / "many") as many,
        Interface(shell.socket, role="master"),
    ):
        assert (words.line(), many.line()) == ("ready", "ready")
        output = shell.run("top", "-n", 1, "-d", 0.1).stdout
        metrics = shell.run("top", "--prometheus").stdout
    assert "\\x1b[2J" in metrics
    assert shell.socket in output
    assert f"[{many.pid}]: its segment is too short" in output
    assert re.search(rf"\[{many.pid}\]: \d+ more interfaces, which --json shows", output)
    assert all(line.isprintable() for line in (output + metrics).split("\n"))
    assert len(list(text_string_to_metric_families(metrics))) > 5


# ---- Prometheus ----


def samples(text: str, name: str, pid: int) -> list:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return [one for one in found if one.name == name and one.labels["pid"] == str(pid)]


def test_metrics_are_printed_once(shell):
    with Interface(shell.socket, role="master", name="m"), Interface(shell.socket) as ours:
        ours.send_burst([bytes(100)] * 3, TIMEOUT)
        text = shell.run("top", "--prometheus").stdout
    (rx,) = [
        one
        for one in samples(text, "memif_rx_ring_fill_slots", os.getpid())
        if one.labels["role"] == "master"
    ]
    assert (rx.value, rx.labels["path"], rx.labels["name"]) == (3, shell.socket, "m")
    assert rx.labels["queue"] == "0"
    sent = samples(text, "memif_tx_bytes_total", os.getpid())
    assert sorted(one.value for one in sent) == [0, 300]
    refused = samples(text, "memif_tx_refused_total", os.getpid())
    assert [one.value for one in refused] == [0, 0]
    assert [one.value for one in samples(text, "memif_connected", os.getpid())] == [1, 1]
    assert [one.value for one in samples(text, "memif_process_unreadable", os.getpid())] == [0]


@pytest.mark.parametrize("where", ["127.0.0.1:0", "[::1]:0"])
def test_metrics_are_served_until_ctrl_c(shell, where):
    errors = shell.folder / "errors"
    with Program([*MEMIF, "top", "--prometheus", where], errors) as exporter:
        said = threading.Event()
        while "metrics at " not in exporter.errors:
            said.wait(0.01)
        url = exporter.errors.split("metrics at ")[1].split()[0]
        for sent in (1, 2):
            with (
                Interface(shell.socket, role="master") as master,
                Interface(shell.socket) as ours,
            ):
                ours.send_burst([bytes(100)] * sent, TIMEOUT)
                assert len(master.recv_burst(sent, timeout=TIMEOUT)) == sent
                with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310
                    text = answer.read().decode()
            received = samples(text, "memif_rx_packets_total", os.getpid())
            assert sorted(one.value for one in received) == [0, sent]
        interrupt(exporter, 0)


def test_a_port_that_is_taken_is_an_error(shell):
    with Program([*MEMIF, "top", "--prometheus", "127.0.0.1:0"], shell.folder / "errors") as first:
        said = threading.Event()
        while "metrics at " not in first.errors:
            said.wait(0.01)
        where = first.errors.split("http://")[1].split("/")[0]
        assert "Address already in use" in shell.run("top", "--prometheus", where, status=1).stderr
        interrupt(first, 0)
