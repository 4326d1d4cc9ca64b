# SPDX-License-Identifier: Apache-2.0
"""Debug lines: off unless asked for, of one shape, and without secrets."""

import re
import sys
import time
from pathlib import Path

import pytest
from support import builds
from support.builds import Installed, run

LINE = re.compile(
    r"\[ *(?P<time>\d+\.\d{6})\] "
    r"MEMIF_DEBUG:(?P<file>[^:]+):(?P<function>[^:]+):(?P<line>\d+): (?P<text>.+)"
)
RIGHT_WORD = "swordfish"


def compiled(installed: Installed, folder: Path) -> Path:
    return installed.compile(folder / "secrets", ["secrets.c"])


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """programs/secrets.c with a release build."""
    return compiled(builds.release(tmp_path_factory), tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def debug(tmp_path_factory) -> Path:
    """The same with a debug build."""
    return compiled(builds.debug(tmp_path_factory), tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module", params=["release", "debug"])
def debug_output(request, tmp_path_factory) -> str:
    """What either build prints when debug lines are on."""
    program = request.getfixturevalue(request.param)
    return stderr_of(program, tmp_path_factory.mktemp("sockets"), LIBMEMIF_DEBUG="1")


def stderr_of(program: Path, folder: Path, **variables: str) -> str:
    return run([program, folder / "socket", RIGHT_WORD], env=variables).stderr


def test_a_release_build_is_silent(release, tmp_path):
    assert stderr_of(release, tmp_path) == ""


@pytest.mark.parametrize("value", ["", "0"])
def test_a_release_build_can_be_told_to_be_silent(release, tmp_path, value):
    assert stderr_of(release, tmp_path, LIBMEMIF_DEBUG=value) == ""


def test_a_debug_build_prints_by_default(debug, tmp_path):
    assert "app name: secrets" in stderr_of(debug, tmp_path)


def test_a_debug_build_can_be_silenced(debug, tmp_path):
    assert stderr_of(debug, tmp_path, LIBMEMIF_DEBUG="0") == ""


def test_every_line_says_where_it_comes_from(debug_output):
    lines = debug_output.splitlines()
    assert lines
    for line in lines:
        match = LINE.fullmatch(line)
        assert match, line
        source = builds.ROOT / match["file"]
        assert not Path(match["file"]).is_absolute()
        assert source.is_file(), line
        code = source.read_text().splitlines()
        assert 0 < int(match["line"]) <= len(code)
        assert any(re.search(rf"\b{match['function']}\(", text) for text in code), line


def test_the_application_is_named(debug_output):
    (line,) = [line for line in debug_output.splitlines() if "app name" in line]
    match = LINE.fullmatch(line)
    assert match["file"] == "libmemif_py/native/capi/v1/api.c"
    assert (match["function"], match["text"]) == ("memif_init", "app name: secrets")


def test_connecting_and_refusing_are_told(debug_output):
    assert "connected, protocol version 512" in debug_output
    assert "secret" in debug_output.replace("app name: secrets", "")


def test_secrets_do_not_show(debug_output):
    assert RIGHT_WORD not in debug_output
    assert "wrong-word" not in debug_output


NEVER_FITS = """
import libmemif_py, sys
with (
    libmemif_py.Interface(sys.argv[1], role="master", buffer_size=2048) as master,
    libmemif_py.Interface(sys.argv[1], ring_size=4, buffer_size=200) as slave,
):
    for interface in (master, master, slave):
        try:
            interface.send(bytes(1000), 20)
        except ValueError as error:
            print(error)
"""


def test_a_packet_that_never_fits_is_told_once_and_not_waited_for(tmp_path):
    script = tmp_path / "never_fits.py"
    script.write_text(NEVER_FITS)
    variables = {"LIBMEMIF_DEBUG": "1"}
    done = run([sys.executable, script, tmp_path / "socket"], env=variables)
    assert done.stdout.splitlines() == ["send: longer than all buffers of queue 0 together"] * 3
    lines = [line for line in done.stderr.splitlines() if "never fits" in line]
    by_master, by_slave = (LINE.fullmatch(line)["text"] for line in lines)
    assert by_master == (
        "a packet of 1000 bytes never fits queue 0: its ring holds 4 buffers of at most 200 bytes, "
        "ours would have 2048"
    )
    assert by_slave.endswith("ours would have 200")


IN_VAIN = """
import contextlib, os, socket, sys
from libmemif_py import Interface
with Interface(sys.argv[1] + "/socket", name="ours") as slave:
    def attempt():
        with contextlib.suppress(OSError):
            slave._endpoint.hub.request(slave._endpoint)
    for _ in range(3):
        attempt()
    open(sys.argv[1] + "/socket", "w").close()
    for _ in range(3):
        attempt()
    os.unlink(sys.argv[1] + "/socket")
    socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).bind(sys.argv[1] + "/socket")
    for _ in range(3):
        attempt()
"""


def test_a_slave_that_finds_no_master_says_why_once(tmp_path):
    done = run([sys.executable, "-P", "-c", IN_VAIN, tmp_path], env={"LIBMEMIF_DEBUG": "1"})
    lines = [LINE.fullmatch(line) for line in done.stderr.splitlines()]
    assert [line["text"] for line in lines] == [
        f"slave ours id 0 on {tmp_path}/socket: connect: No such file or directory",
        f"slave ours id 0 on {tmp_path}/socket: connect: a plain file is there, expected a socket",
        f"slave ours id 0 on {tmp_path}/socket: connect: Connection refused",
    ]


def test_lines_of_several_processes_can_be_sorted(tmp_path):
    before = time.monotonic()
    done = run([sys.executable, "-P", "-c", IN_VAIN, tmp_path], env={"LIBMEMIF_DEBUG": "1"})
    times = [float(LINE.fullmatch(line)["time"]) for line in done.stderr.splitlines()]
    assert before - 1e-6 <= times[0] < times[1] <= time.monotonic()
