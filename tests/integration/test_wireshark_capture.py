# SPDX-License-Identifier: Apache-2.0
"""Wireshark captures from memifs: tshark starts memif-extcap, and a peer of ours sends packets."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.builds import ROOT, environment, run
from support.frames import FRAMES, tcpdump_keeps
from support.memif_command import capture, packets
from support.programs import TIMEOUT
from support.wireshark import EXTCAP, Tshark

from libmemif_py import Interface
from libmemif_py.tools.wireshark.sockets import listeners

PAGE = ROOT / "docs" / "howto" / "wireshark.md"
FIELD = re.compile(r"\{(\w+)=(.*?)\}")


@pytest.fixture
def tshark(tmp_path) -> Tshark:
    return Tshark(tmp_path / "home")


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "memif.sock")


def set_to(**values: object) -> list[str]:
    """Options of tshark for the settings of the interface `memif`."""
    return [word for k, v in values.items() for word in ("-o", f"extcap.memif.{k}:{v}")]


def sentences(*words: str) -> list[tuple[str, dict[str, str]]]:
    lines = Tshark.ask_extcap(*words).stdout.splitlines()
    return [(line.split()[0], dict(FIELD.findall(line))) for line in lines]


def test_tshark_lists_each_master_as_an_interface(tshark, path):
    with Interface(path, role="master"):
        lines = tshark.run("-D").stdout.splitlines()
    shown = [line.partition(" ")[2] for line in lines]
    assert "memif (memif: what the other end of a socket sends to you)" in shown
    own = [line for line in shown if line.startswith(f"memif:{path} (")]
    assert len(own) == 1
    assert re.search(rf"\(memif: what \S+ \(pid {os.getpid()}\) sends to you\)$", own[0])


@pytest.mark.parametrize("role", ["master", "slave"])
def test_each_interface_of_a_program_is_one_to_capture_from(tshark, path, role):
    options = {"role": role, "id": 7, "retry_interval": 0.1}
    with Interface(path, **options) as peer:
        lines = tshark.run("-D").stdout.splitlines()
        name = f"memif:{path},id=7" if role == "master" else f"memif:{path},role=master,id=7"
        (shown,) = [line for line in lines if f". memif:{path}" in line]
        assert shown.partition(" ")[2].startswith(f"{name} (memif: what ")
        assert f"(pid {os.getpid()})" in shown
        assert shown.endswith(" to you)" if role == "master" else " to you, once it connects)")
        with tshark.start("-i", name, "-c", 1) as program:
            peer.send(bytes(60), TIMEOUT)
            assert program.wait() == 0
            assert "Error" not in program.errors


def test_a_memif_that_is_connected_is_not_offered_as_if_it_could_be_tapped(path):
    with Interface(path, role="master"), Interface(path) as slave:
        slave.wait_connected(TIMEOUT)
        shown = [f["display"] for k, f in sentences("--extcap-interfaces") if k == "interface"]
    own = [text for text in shown if f"(pid {os.getpid()})" in text]
    assert len(own) == 2
    for text in own:
        assert text.endswith(" is connected, only memif bridge can show this")


def test_the_page_shows_the_interfaces_as_they_are(tshark):
    shown = re.findall(r"^\d+\. (memif:\S+) \((.*)\)$", PAGE.read_text(), re.M)
    assert shown == [
        ("memif:/run/vpp/memif.sock", "memif: what vpp_main (pid 77) sends to you"),
        ("memif:@a", "memif: app (pid 88) is connected, only memif bridge can show this"),
        (
            "memif:@b,role=master",
            "memif: what app (pid 88) sends to you, once it connects",
        ),
    ]
    any_socket = "(memif: what the other end of a socket sends to you)"
    assert f". memif {any_socket}\n" in PAGE.read_text()
    assert f" memif {any_socket}\n" in tshark.run("-D").stdout


def test_the_options_of_tshark_on_the_page_exist(tshark):
    named = set(re.findall(r"extcap\.memif\.(\w+)", PAGE.read_text()))
    calls = [fields["call"] for kind, fields in sentences("--extcap-config",
             "--extcap-interface", "memif") if kind == "arg"]  # fmt: skip
    assert named
    assert named <= {call.replace("-", "") for call in calls}


def test_tshark_captures_what_a_master_sends(tshark, path, tmp_path):
    frames = packets(50, most=1500)
    target = tmp_path / "captured.pcapng"
    with (
        Interface(path, role="master") as peer,
        tshark.start("-i", f"memif:{path}", "-c", len(frames), "-w", target) as program,
    ):
        for frame in frames:
            peer.send(frame, TIMEOUT)
        assert program.wait() == 0
        assert "Error" not in program.errors
    assert capture(target) == frames


def test_tshark_captures_as_master_with_the_settings_of_its_user(tshark, path, tmp_path):
    frames = packets(20, most=1500)
    target = tmp_path / "captured.pcapng"
    (tmp_path / "secret").write_text("hush\n")
    settings = {"socket": path, "role": "master", "id": 7, "secretfile": tmp_path / "secret"}
    queues = {"mode": "ip", "queues": 2, "protocol": 256}
    options = {"mode": "ip", "secret": "hush", "id": 7, "s2m_rings": 2, "version": 256}
    words = [*set_to(**settings, **queues), "-c", len(frames), "-w", target]
    with (
        tshark.start("-i", "memif", *words) as program,
        Interface(path, retry_interval=0.1, **options) as peer,
    ):
        for number, frame in enumerate(frames):
            peer.send(frame, TIMEOUT, queue=number % 2)
        assert program.wait() == 0
        assert "Error" not in program.errors
    assert sorted(capture(target)) == sorted(frames)
    told = tshark.run("-r", target, "-T", "fields", "-e", "frame.encap_type").stdout
    assert set(told.split()) == {"7"}  # raw IP


def test_a_capture_goes_on_with_the_next_peer(tshark, path, tmp_path):
    frames = packets(2)
    target = tmp_path / "captured.pcapng"
    settings = set_to(socket=path, role="master")
    with tshark.start("-i", "memif", *settings, "-c", len(frames), "-w", target) as program:
        for frame in frames:
            with Interface(path, retry_interval=0.1) as peer:
                peer.send(frame, TIMEOUT)
                peer.flush(TIMEOUT)
        assert program.wait() == 0
    assert capture(target) == frames


def test_tshark_says_why_there_is_no_link(tshark, path):
    with Interface(path, role="master", mode="ip"):
        settings = set_to(socket=path, wait=1)
        said = tshark.run("-i", "memif", *settings, "-c", 1, status=None).stderr
    assert re.search("Error (by|from) extcap pipe: memif-extcap: no link on", said)
    assert "mode" in said


@pytest.mark.parametrize("option", ["--id=-1", "--socket=", "--extcap-interface=x"])
def test_a_wrong_setting_ends_the_capture_with_a_reason(tshark, path, tmp_path, option):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = ["--capture", "--extcap-interface", "memif", "--fifo", fifo, option]
    with tshark.start_extcap(*words) as program:
        # Wireshark waits like this. Nothing comes, or the beginning of a capture at most.
        fifo.read_bytes()
        assert program.wait() != 0
        assert program.errors.startswith("memif-extcap: ")
        assert program.errors.count("\n") == 1


@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("ended_by", ["closing", "signal"])
def test_a_capture_ends_quietly_when_wireshark_ends_it(tshark, path, tmp_path, role, ended_by):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = ["--capture", "--extcap-interface", "memif", "--fifo", fifo]
    settings = ["--socket", path, "--role", role, "--wait", "forever"]
    with tshark.start_extcap(*words, *settings) as program, fifo.open("rb") as file:
        assert file.read(4) == b"\x0a\x0d\x0d\x0a"
        if ended_by == "signal":
            program.send_signal(signal.SIGTERM)
        else:
            file.close()
        assert (program.wait(), program.errors) == (0, "")


def test_the_settings_are_options_of_the_program_with_its_defaults(path):
    args = [fields for kind, fields in sentences("--extcap-config", "--extcap-interface", "memif")
            if kind == "arg"]  # fmt: skip
    calls = {fields["call"]: fields for fields in args}
    assert list(calls) == [
        *("--socket", "--role", "--id", "--secret-file", "--mode"),
        *("--queues", "--ring-size", "--buffer-size", "--protocol", "--wait"),
    ]
    help_ = Tshark.ask_extcap("--help").stdout
    assert all(f" {call} " in help_ for call in calls)
    assert calls["--socket"]["default"] == "/run/vpp/memif.sock"
    assert calls["--id"]["range"] == "0,4294967295"
    assert "default" not in calls["--protocol"]
    assert not any(value.startswith("Sentinel") for value in calls["--wait"].values())


def test_each_choice_of_a_setting_has_one_default():
    found = sentences("--extcap-config", "--extcap-interface", "memif")
    lists = {fields["number"]: [] for kind, fields in found if fields.get("type") == "selector"}
    for kind, fields in found:
        if kind == "value":
            lists[fields["arg"]].append(fields)
    defaults = [[f["value"] for f in fields if f["default"] == "true"] for fields in lists.values()]
    assert defaults == [["slave"], ["ethernet"], ["1024"]]


def test_the_socket_of_an_interface_is_not_asked_for(path):
    with Interface(path, role="master"):
        found = sentences("--extcap-config", "--extcap-interface", f"memif:{path}")
    assert "--socket" not in {fields.get("call") for _, fields in found}
    assert "--role" not in {fields.get("call") for _, fields in found}


def test_all_kinds_of_packets_are_offered(tshark):
    assert sentences("--extcap-dlts", "--extcap-interface", "memif") == [
        ("dlt", {"number": "1", "name": "EN10MB", "display": "Ethernet"}),
        ("dlt", {"number": "101", "name": "RAW", "display": "IP"}),
        ("dlt", {"number": "147", "name": "USER0", "display": "punt-inject"}),
    ]
    listed = tshark.run("-L", "-i", "memif").stdout
    assert "EN10MB" in listed
    assert "RAW" in listed


def test_tshark_captures_what_its_filter_takes(tshark, path, tmp_path):
    frames = list(FRAMES.values())
    expression = "icmp or vlan 5"
    wanted = tcpdump_keeps(frames, expression)
    assert 0 < len(wanted) < len(frames)
    target = tmp_path / "captured.pcapng"
    words = ["-i", f"memif:{path}", "-f", expression, "-c", len(wanted), "-w", target]
    with Interface(path, role="master") as peer, tshark.start(*words) as program:
        for frame in frames:
            peer.send(frame, TIMEOUT)
        assert program.wait() == 0
        assert "Error" not in program.errors
    assert capture(target) == wanted


@pytest.mark.parametrize(
    ("expression", "said"), [("icmp or vlan 5", ""), ("imcp", "filter 'imcp': .+"), ("", "")]
)
def test_wireshark_is_told_what_is_wrong_with_a_filter(expression, said):
    words = ["--extcap-interface", "memif", "--extcap-capture-filter", expression]
    assert re.fullmatch(said, Tshark.ask_extcap(*words).stdout.strip())


def test_a_wrong_filter_ends_the_capture_with_a_reason(tshark, path):
    said = tshark.run("-i", "memif", "-f", "imcp", "-c", 1, status=None).stderr
    assert "filter 'imcp': " in said


def test_wireshark_reads_the_version(tmp_path):
    kind, fields = sentences("--extcap-interfaces", "--extcap-version=4.0")[0]
    assert kind == "extcap"
    assert fields["version"] == run([EXTCAP, "--version"]).stdout.strip()


def test_without_click_the_interface_names_what_to_install(tmp_path):
    (tmp_path / "click.py").write_text("raise SystemExit('this is not click')\n")
    code = (
        "import sys, importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'click' else find(name, *rest)\n"
        "from libmemif_py.tools.wireshark.main import main; sys.exit(main())"
    )
    words = [sys.executable, "-P", "-c", code, "--extcap-interfaces"]
    said = run(words, env=environment(PYTHONPATH=str(tmp_path))).stdout
    assert said.startswith("interface {value=memif}{display=memif: click is missing: ")
    assert "install" in said


# ---- which sockets ----

LISTENER = """
import os, socket, sys
address = sys.argv[1].encode().replace(b"@", b"\\0")
sock = socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[2]))
sock.bind(address)
sock.listen()
print("listening", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def stranger(address: str, kind: str = "SOCK_SEQPACKET", cwd=None):
    """A program that listens, and has nothing of memif."""
    command = ["/usr/bin/python3", "-I", "-c", LISTENER, address, kind]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=cwd, **pipes) as process:
        assert process.stdout.readline() == b"listening\n"
        yield process
        process.stdin.close()


def seen() -> dict[str, int]:
    return {listener.path: listener.pid for listener in listeners()}


def test_a_socket_counts_by_its_path_or_by_the_library_of_its_program(tmp_path):
    with (
        stranger(f"{tmp_path}/other.sock"),
        stranger(f"{tmp_path}/memif.stream", "SOCK_STREAM"),
        stranger(f"{tmp_path}/memif.sock") as named,
        Interface(tmp_path / "x.sock", role="master"),
    ):
        own = {path: pid for path, pid in seen().items() if path.startswith(str(tmp_path))}
    assert own == {f"{tmp_path}/memif.sock": named.pid, f"{tmp_path}/x.sock": os.getpid()}


@pytest.mark.parametrize("name", ["stats.sock", "api.sock", "cli.sock"])
def test_what_vpp_listens_on_beside_its_memifs_does_not_count(tmp_path, name):
    with Interface(tmp_path / name, role="master"):
        assert str(tmp_path / name) not in seen()


def test_a_relative_path_is_found(tmp_path):
    with stranger("memif.sock", cwd=tmp_path) as program:
        assert seen()[f"{tmp_path}/memif.sock"] == program.pid


def test_a_file_that_is_gone_does_not_count(tmp_path):
    with stranger(f"{tmp_path}/memif.sock"):
        (tmp_path / "memif.sock").unlink()
        assert f"{tmp_path}/memif.sock" not in seen()


@pytest.mark.parametrize("padding", [0, 1])
def test_abstract_sockets_are_found_also_with_the_padding_of_dpdk(padding):
    name = f"@memif-{os.getpid()}"
    with stranger(name.ljust(108 if padding else 0, "@")) as program:
        assert seen()[name] == program.pid


def test_a_path_that_sentences_cannot_hold_is_captured_from(tshark, tmp_path):
    path = str(tmp_path / "memif{1}%20 å.sock")
    with Interface(path, role="master") as peer:
        named = [f for kind, f in sentences("--extcap-interfaces") if kind == "interface"]
        (name,) = [f["value"] for f in named if "%7B1%7D%2520%20" in f["value"].replace(" ", "%20")]
        with tshark.start("-i", name, "-c", 1) as program:
            peer.send(bytes(60), TIMEOUT)
            assert program.wait() == 0


def test_a_program_of_another_user_counts_by_its_path_alone(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="memif-"))
    folder.chmod(0o755)
    path = f"{folder}/master.sock"
    code = "from libmemif_py.tools.wireshark.sockets import listeners; print(listeners())"
    identity = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        with stranger(path):
            found = run([sys.executable, "-P", "-c", code], **identity).stdout
    finally:
        shutil.rmtree(folder)
    assert f"Listener(path='{path}', pid=0, program='')" in found
