# SPDX-License-Identifier: Apache-2.0
"""What a Python program sees of an interface at moments that are hard to meet by chance."""

import ast
import errno
import inspect
import os
import sys
import time

import pytest
from support import builds

from libmemif_py import Interface, Timeout, errors
from libmemif_py.control.lock import LOCK
from libmemif_py.options import Options

TIMEOUT = 60.0

SENT_IS_CONNECTED = """
import sys, time
from libmemif_py import Interface
from libmemif_py.observer import Observer

connected = Observer.connected
def late(self, endpoint, handle):
    time.sleep(0.2)
    connected(self, endpoint, handle)
Observer.connected = late

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
from libmemif_py.observer import Observer

told = threading.Event()
disconnected = Observer.disconnected
def late(self, endpoint, reason):
    told.set()
    time.sleep(0.2)
    disconnected(self, endpoint, reason)

def fds():
    return sorted(os.readlink(f"/proc/self/fd/{fd}").rstrip("0123456789[]:")
                  for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))

with Interface(sys.argv[1] + "/other", role="master"):
    before = fds()
    master = Interface(sys.argv[1] + "/socket", role="master")
    slave = Interface(sys.argv[1] + "/socket")
    slave.wait_connected(20)
    Observer.disconnected = late
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
        while "memfd:memif region" in open("/proc/self/maps").read() and time.monotonic() < end:
            time.sleep(0.01)
    print("memfd:memif region" in open("/proc/self/maps").read())
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


CLOSED_AFTER_ALL = """
import atexit, sys
def last():
    slave.close()
    master.close()
    print("closed")
atexit.register(last)  # runs after the handler that the import registers
from libmemif_py import Interface
path = sys.argv[1] + "/socket"
master, slave = Interface(path, role="master"), Interface(path)
slave.wait_connected(60)
"""


def test_an_interface_may_be_closed_after_the_exit_handler(tmp_path):
    command = [sys.executable, "-c", CLOSED_AFTER_ALL, tmp_path]
    result = builds.run(command, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("closed\n", "")
    assert os.listdir(tmp_path) == []


def test_a_link_is_released_when_the_callback_about_its_end_fails(tmp_path, tmp_path_factory):
    stdout, _ = run_script(FAILING_CALLBACK, tmp_path, tmp_path_factory)
    assert stdout == "b'packet'\n" * 3 + "False\n"


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


STAR = """
import sys
import time
import libmemif_py

before = set(sys.modules)
assert "libmemif_py.interface" not in before, "a cold start must not load it"
for name in libmemif_py.__all__:
    getattr(libmemif_py, name)
assert dir(libmemif_py) == sorted(libmemif_py.__all__)
print(sorted(n for n in set(sys.modules) - before if n.split(".")[0] in OPTIONAL))
"""

SYNCHRONOUS = """
import sys
import time
from libmemif_py import Interface, Counters, RxBurst
print("asyncio" in sys.modules)
"""

UNKNOWN = """
import libmemif_py
try:
    libmemif_py.Interfaces
except AttributeError as error:
    print(error)
"""


MODULE = "import runpy; runpy.run_module('libmemif_py', run_name='__main__')"


def test_all_public_names_load_without_what_is_optional(tmp_path, tmp_path_factory):
    optional = "OPTIONAL = ['numpy', 'scapy', 'prometheus_client', 'uvloop']\n"
    assert run_script(optional + STAR, tmp_path, tmp_path_factory)[0] == "[]\n"


def test_the_package_knows_its_version_and_its_modules(tmp_path, tmp_path_factory):
    script = "import libmemif_py as m; print(m.__version__, m.aio.__name__, m.errors.__name__)"
    stdout, _ = run_script(script, tmp_path, tmp_path_factory)
    known = run_script(
        "from libmemif_py._install import VERSION; print(VERSION)", tmp_path, tmp_path_factory
    )[0]
    assert stdout == f"{known.strip()} libmemif_py.aio libmemif_py.errors\n"


def test_asyncio_is_loaded_only_when_asked_for(tmp_path, tmp_path_factory):
    assert run_script(SYNCHRONOUS, tmp_path, tmp_path_factory)[0] == "False\n"


def test_an_unknown_name_is_an_attribute_error(tmp_path, tmp_path_factory):
    stdout, _ = run_script(UNKNOWN, tmp_path, tmp_path_factory)
    assert stdout == "module 'libmemif_py' has no attribute 'Interfaces'\n"


@pytest.mark.parametrize("program", ["import libmemif_py; libmemif_py.Interface", MODULE])
def test_sources_that_are_not_built_say_so(program, tmp_path):
    """The error names the folder, what to do there, and what if it hides an installed package."""
    variables = {"PYTHONPATH": str(builds.ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-c", program]
    result = builds.run(command, env=builds.environment(**variables), cwd=tmp_path, status=1)
    said = f"ImportError: {builds.ROOT}/libmemif_py holds only the sources of libmemif_py"
    assert result.stderr.splitlines()[-1].startswith(said)
    assert f"run ./bootstrap demo in {builds.ROOT}, then .venv/bin/python -P" in result.stderr
    assert f"installed, start Python outside of {builds.ROOT}" in result.stderr


def test_the_stub_of_the_compiled_part_names_all_it_has(tmp_path, tmp_path_factory):
    """And nothing else: names, and those of the type."""
    installed = builds.release(tmp_path_factory)
    tree = ast.parse((installed.package / "_burst.pyi").read_text())
    named = {node.name: node for node in tree.body if not isinstance(node, ast.ImportFrom)}
    script = (
        "from libmemif_py.control import reactor; r = reactor.burst; "
        "[print(*(n for n in dir(x) if n[0] != '_')) for x in (r, r.Burst)]"
    )
    functions, members = (
        set(line.split()) for line in run_script(script, tmp_path, tmp_path_factory)[0].splitlines()
    )
    assert functions == set(named)
    assert members == {n.name for n in named["Burst"].body if not n.name.startswith("_")}


def test_the_stub_of_what_the_build_writes_names_all_it_has(tmp_path, tmp_path_factory):
    installed = builds.release(tmp_path_factory)
    stub = ast.parse((installed.package / "_install.pyi").read_text())
    named = {node.target.id: node.annotation.id for node in stub.body}
    script = (
        "from libmemif_py import _install as m; "
        "print({k: type(v).__name__ for k, v in vars(m).items() if k[0] != '_'})"
    )
    stdout, _ = run_script(script, tmp_path, tmp_path_factory)
    assert ast.literal_eval(stdout) == named


def test_a_strict_type_checker_knows_the_public_names(tmp_path, tmp_path_factory):
    installed = builds.release(tmp_path_factory)
    program = tmp_path / "program.py"
    program.write_text(TYPED)
    # Silent about the package itself, as for every package that is installed.
    options = ["--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache"]
    command = [sys.executable, "-m", "mypy", *options, program]
    variables = {"MYPYPATH": str(installed.package.parent)}
    builds.run(command, env=builds.environment(**variables), cwd=tmp_path, timeout=300)


TYPED = """
import asyncio
import numpy.typing
from libmemif_py import (
    AsyncInterface, Counters, Interface, MemifError, RxBurst, Timeout, TxBurst, WaitError,
    __version__, aio, create_memif_endpoint, errors,
)


def use(interface: Interface) -> bytes:
    counters: Counters = interface.counters()
    with interface.rx_burst() as received, interface.tx_burst(1, 64) as sent:
        first: memoryview = received[0]
        sent.lengths[0] = len(first) + counters.tx[0].full
        sums: list[int] = received.data.sum(axis=1).tolist()
        sent.lengths[:] = len(sums)
        lengths: list[int] = received.lengths.tolist() + list(received.row_lengths)
        sums += lengths
    interface.send(received.data.copy())
    interface.send_burst([bytearray(1), memoryview(b"2"), sent.data[0], received.lengths])
    try:
        return interface.recv(1.0)
    except WaitError:
        return __version__.encode() + aio.__name__.encode()
    except (Timeout, errors.Disconnected, MemifError) as error:
        return error.code.encode()


async def use_async(path: str, array: numpy.typing.NDArray[numpy.uint8]) -> list[bytes]:
    transport, protocol = await create_memif_endpoint(asyncio.DatagramProtocol, path)
    transport.sendto(array)
    async with AsyncInterface(path) as interface:
        await interface.send(array)
        await interface.send_burst([b"packet", array])
        return [packet async for packet in interface]
"""


MISTYPED = """
from libmemif_py import AsyncInterface, Interface, create_memif_endpoint
import asyncio

async def use() -> None:
    AsyncInterface("path", role="salve")
    AsyncInterface("path", ring_sise=64)
    await create_memif_endpoint(asyncio.DatagramProtocol, "path", id="a")
    Interface("path").send("text")
    reveal_type(Interface("path").rx_burst().data)
"""


def test_a_type_checker_finds_misspelt_options_and_wrong_packets(tmp_path, tmp_path_factory):
    installed = builds.release(tmp_path_factory)
    program = tmp_path / "program.py"
    program.write_text(MISTYPED)
    options = ["--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache"]
    command = [sys.executable, "-m", "mypy", *options, program]
    variables = builds.environment(MYPYPATH=str(installed.package.parent))
    result = builds.run(command, env=variables, cwd=tmp_path, timeout=300, status=1)
    lines = [line.split(":") for line in result.stdout.splitlines()[:-1]]
    wrong = [int(line[1]) for line in lines if line[2] == " error"]
    assert wrong == [6, 7, 8, 9], result.stdout
    assert "unsignedinteger" in lines[-1][-1]


def test_every_option_of_an_interface_is_one_of_its_typed_options():
    arguments = set(inspect.signature(Interface).parameters)
    assert set(Options.__annotations__) == arguments - {"path", "on_connect", "on_disconnect"}


def test_what_keeps_a_master_from_listening_is_an_error_of_ours_and_of_python(tmp_path):
    with pytest.raises(errors.NoFileError, match="no/folder/socket") as caught:
        Interface(tmp_path / "no" / "folder" / "socket", role="master")
    assert isinstance(caught.value, FileNotFoundError)
    assert (caught.value.errno, caught.value.code) == (errno.ENOENT, "NO_FILE")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"id": "a"}, "id 'a', expected an integer"),
        ({"ring_size": 1024.0}, "ring_size 1024.0, expected an integer"),
        ({"s2m_rings": None}, "s2m_rings None, expected an integer"),
        ({"buffer_size": "2k"}, "buffer_size '2k', expected an integer"),
        ({"handshake_timeout": "1"}, "handshake_timeout '1', expected a number of seconds"),
        ({"retry_interval": None}, "retry_interval None, expected a number of seconds"),
        ({"on_connect": 5}, "on_connect 5, expected a function or None"),
        ({"on_disconnect": "print"}, "on_disconnect 'print', expected a function or None"),
        ({"allow": True}, "allow True, expected a function or None"),
        ({"socket_mode": "660"}, "socket_mode '660', expected an integer"),
        ({"socket_owner": 1.5}, "socket_owner 1.5, expected a name or an id"),
        ({"socket_group": b"adm"}, "socket_group b'adm', expected a name or an id"),
    ],
)
def test_a_value_of_another_type_is_named(tmp_path, options, said):
    with pytest.raises(TypeError, match=f"^{said}$"):
        Interface(tmp_path / "socket", role="master", **options)
    assert os.listdir(tmp_path) == []


def test_a_path_of_another_type_is_named():
    with pytest.raises(TypeError, match=r"^path 5, expected str or os\.PathLike$"):
        Interface(5)


def test_numbers_of_numpy_are_numbers(tmp_path):
    numpy = pytest.importorskip("numpy")
    options = {"id": numpy.uint32(7), "ring_size": numpy.int64(64), "buffer_size": numpy.int16(512)}
    with Interface(tmp_path / "socket", role="master", **options) as master:
        assert (master.details().id, master.details().buffer_size) == (7, 512)


def test_a_closed_interface_raises_the_same_everywhere(tmp_path):
    interface = Interface(tmp_path / "socket", role="master")
    interface.close()
    for use in (
        interface.fileno,
        interface.recv,
        interface.__enter__,
        interface.wait_connected,
        lambda: interface.send(b"packet"),
        lambda: interface.set_rx_mode("polling"),
    ):
        with pytest.raises(errors.NoConnectionError, match="the interface is closed"):
            use()


@pytest.mark.parametrize("option", ["retry_interval", "handshake_timeout"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_time_that_cannot_be_waited_for_is_refused(tmp_path, option, value):
    with pytest.raises(errors.ArgumentError, match=f"^{option} .*, expected more than 0 and at"):
        Interface(tmp_path / "socket", **{option: value})


def seconds_to_next_attempt(slave: Interface) -> float:
    """After the first one has failed."""
    while not slave.details().last_error:
        with pytest.raises(Timeout):
            slave.wait_connected(0.01)
    endpoint = slave._endpoint
    with LOCK:
        return endpoint.hub._deadlines._times[endpoint] - time.monotonic()


def test_a_slave_tries_again_after_its_retry_interval(tmp_path):
    path = tmp_path / "socket"
    with Interface(path, retry_interval=1000) as slave, Interface(path) as usual:
        assert 2 < seconds_to_next_attempt(slave) <= 1000
        assert seconds_to_next_attempt(usual) <= 2


def test_a_short_retry_interval_finds_a_late_master(tmp_path):
    path = tmp_path / "socket"
    with Interface(path, retry_interval=0.001) as slave:
        seconds_to_next_attempt(slave)
        with Interface(path, role="master") as master:
            slave.send(b"packet", TIMEOUT)
            assert master.recv(TIMEOUT) == b"packet"
