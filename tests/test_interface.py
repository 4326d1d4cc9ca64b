# SPDX-License-Identifier: Apache-2.0
"""What a Python program sees of an interface at moments that are hard to meet by chance."""

import errno
import sys

import builds
import pytest

from libmemif_py import Interface, errors

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


CLOSED_WHILE_TOLD = """
import os, sys, threading, time
from libmemif_py import Interface

told = threading.Event()
went_down = Interface._went_down
def late(self, reason):
    told.set()
    time.sleep(0.2)
    went_down(self, reason)

def fds():
    return sorted(os.readlink(f"/proc/self/fd/{fd}").rstrip("0123456789[]:")
                  for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))

with Interface(sys.argv[1] + "/other", role="master"):
    before = fds()
    master = Interface(sys.argv[1] + "/socket", role="master")
    slave = Interface(sys.argv[1] + "/socket")
    slave.wait_connected(20)
    Interface._went_down = late
    threading.Thread(target=master.close).start()
    told.wait(20)
    slave.close()
    end = time.monotonic() + 20
    while fds() != before and time.monotonic() < end:
        time.sleep(0.01)
    print(fds() == before)
"""

FAILING_CALLBACK = """
import os, sys, time
from libmemif_py import Interface

def fail(interface, reason):
    raise ValueError("the program's own")

path = sys.argv[1] + "/socket"
with Interface(path, role="master", on_disconnect=fail) as master:
    for _ in range(3):
        with Interface(path) as slave:
            slave.send(b"packet", 20)
            print(master.recv(20))
        end = time.monotonic() + 20
        while "memfd" in open("/proc/self/maps").read() and time.monotonic() < end:
            time.sleep(0.01)
    print("memfd" in open("/proc/self/maps").read())
"""


def run_script(script: str, folder, factory) -> tuple[str, str]:
    installed = builds.release(factory)
    variables = {"PYTHONPATH": str(installed.package.parent), "LIBMEMIF_DEBUG": "1"}
    command = [sys.executable, "-c", script, folder]
    result = builds.run(command, env=builds.environment(**variables), cwd=folder)
    return result.stdout, result.stderr


def test_an_interface_may_be_closed_while_it_is_told_of_its_end(tmp_path, tmp_path_factory):
    stdout, stderr = run_script(CLOSED_WHILE_TOLD, tmp_path, tmp_path_factory)
    assert stdout == "True\n"
    assert "Bad file descriptor" not in stderr


def test_a_link_is_released_when_the_callback_about_its_end_fails(tmp_path, tmp_path_factory):
    stdout, _ = run_script(FAILING_CALLBACK, tmp_path, tmp_path_factory)
    assert stdout == "b'packet'\n" * 3 + "False\n"


def test_what_keeps_a_master_from_listening_is_an_error_of_ours_and_of_python(tmp_path):
    with pytest.raises(errors.NoFileError, match="no/folder/socket") as caught:
        Interface(tmp_path / "no" / "folder" / "socket", role="master")
    assert isinstance(caught.value, FileNotFoundError)
    assert (caught.value.errno, caught.value.code) == (errno.ENOENT, "NO_FILE")
