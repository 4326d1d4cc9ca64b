# SPDX-License-Identifier: Apache-2.0
"""A forked child has interfaces of its own, and those of its parent neither work nor suffer there.

What the C interfaces do in a child is in c_tests/test_fork.c.
"""

import asyncio
import contextlib
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from scapy.layers.l2 import Ether
from support.builds import SUPPORT
from support.forking import ENDINGS, WAYS, connect, exchange

from libmemif_py import (
    AsyncInterface,
    Interface,
    control,
    create_memif_endpoint,
    metrics,
)
from libmemif_py.adapters.scapy import MemifSocket

TIMEOUT = 60.0
FORKED = SUPPORT / "forking.py"


def fork() -> int:
    """As os.fork, which from 3.12 on warns of threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        return os.fork()


def run_and_exit(function: Callable[[], Any], answers: int) -> None:
    """In the child. A call that hangs is ended by the alarm."""
    try:
        signal.alarm(int(TIMEOUT))
        try:
            answer = function()
        except BaseException:
            answer = "failed:\n" + traceback.format_exc()
        with open(answers, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)


def in_child(function: Callable[[], Any]) -> Any:
    """What the function returns in a forked child, which then ends without more ado."""
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        child = fork()
        if child == 0:
            run_and_exit(function, writing)
        os.close(writing)
        answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0
    return pickle.loads(answer)  # noqa: S301 - our own


@pytest.fixture
def pair(tmp_path) -> Iterator[tuple[Interface, Interface]]:
    """Master and slave; the socket file must be there at the end and go with them."""
    path = tmp_path / "socket"
    with contextlib.ExitStack() as stack:
        both = connect(str(path))
        for interface in both:
            stack.callback(interface.close)
        yield both
        exchange(both)
        assert path.is_socket()
    assert not path.exists()


def outcome(call: Callable[[], Any]) -> str:
    """The name of what it raises."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "no error"


def outcomes(calls: dict[str, Callable[[], Any]]) -> dict[str, str]:
    return {name: outcome(call) for name, call in calls.items()}


def all_forked(calls: dict[str, Any]) -> dict[str, str]:
    return dict.fromkeys(calls, "ForkedError")


# ---- a child of its own ----


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("way", WAYS)
def test_a_child_works_and_its_parent_is_undisturbed(tmp_path, way, ending, count):
    command = [sys.executable, "-W", "error", FORKED, way, ending, str(count)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes) as process:
        try:
            assert process.communicate(timeout=2 * TIMEOUT) == ("undisturbed\n", "")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it may have left running


class CountingLib:
    """The extension, with a count of how often the control thread began to wait."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.polls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lib, name)

    def mif_poller_poll(self, pointer: Any, timeout: int) -> int:
        self.polls += 1
        return self._lib.mif_poller_poll(pointer, timeout)


def test_the_control_thread_of_a_child_sleeps(tmp_path, pair):
    def work() -> tuple[int, bool]:
        control.lib = lib = CountingLib(control.lib)
        own = connect(str(tmp_path / "own"))
        connected = lib.polls
        for _ in range(20):
            exchange(own)
        return lib.polls - connected, lib.polls > 0

    polls, counted = in_child(work)
    assert counted
    assert polls <= 10  # the last of the handshake may come late


def test_a_child_connects_with_its_parent(tmp_path, pair):
    path = str(tmp_path / "other")
    with Interface(path, role="master") as master:

        def work() -> bytes:
            with Interface(path) as slave:
                slave.send(b"from the child", TIMEOUT)
                return slave.recv(TIMEOUT)

        master_answers = threading.Thread(target=lambda: master.send(master.recv(TIMEOUT), TIMEOUT))
        master_answers.start()
        assert in_child(work) == b"from the child"
        master_answers.join()


def test_modes_change_in_a_child(tmp_path, pair):
    """Signals of control functions use a kernel object that no child inherits."""
    for mode in ("polling", "interrupt"):
        pair[0].set_rx_mode(mode)

    def work() -> None:
        master, slave = connect(str(tmp_path / "own"))
        for mode in ("polling", "interrupt"):
            master.set_rx_mode(mode)
            slave.send(b"packet", TIMEOUT)
            master.recv(TIMEOUT)

    assert in_child(work) is None


def test_a_child_of_a_child_works_and_disturbs_neither(tmp_path, pair):
    def work() -> dict[str, str]:
        own = connect(str(tmp_path / "own"))

        def work_deeper() -> dict[str, str]:
            found = outcomes({"parent's": pair[0].recv, "child's": own[0].recv})
            own[0].close()
            exchange(connect(str(tmp_path / "deeper")))
            return found

        found = in_child(work_deeper)
        exchange(own)
        return found

    assert in_child(work) == {"parent's": "ForkedError", "child's": "ForkedError"}


# ---- inherited objects ----

CALLS: dict[str, Callable[[Interface], Any]] = {
    "connected": lambda memif: memif.connected,
    "counters": lambda memif: memif.counters(),
    "details": lambda memif: memif.details(),
    "fileno": lambda memif: memif.fileno(),
    "flush": lambda memif: memif.flush(),
    "peer": lambda memif: memif.peer,
    "recv": lambda memif: memif.recv(),
    "recv_burst": lambda memif: memif.recv_burst(),
    "rx_burst": lambda memif: memif.rx_burst(),
    "rx_fill": lambda memif: memif.rx_fill(),
    "rx_slots": lambda memif: memif.rx_slots(),
    "send": lambda memif: memif.send(b"x"),
    "send_burst": lambda memif: memif.send_burst([b"x"]),
    "set_rx_mode": lambda memif: memif.set_rx_mode("polling"),
    "tx_burst": lambda memif: memif.tx_burst(1, 64),
    "tx_fill": lambda memif: memif.tx_fill(),
    "tx_slots": lambda memif: memif.tx_slots(),
    "wait_connected": lambda memif: memif.wait_connected(),
    "iteration": lambda memif: next(iter(memif)),
}


def test_the_calls_are_all_there_are():
    public = {name for name in dir(Interface) if not name.startswith("_")}
    assert public - {"close"} == CALLS.keys() - {"iteration"}


@pytest.mark.parametrize("end", [0, 1], ids=["master", "slave"])
def test_every_call_on_an_inherited_interface_raises(pair, end):
    pair[1 - end].send(b"the parent's", TIMEOUT)
    calls = {name: lambda call=call: call(pair[end]) for name, call in CALLS.items()}
    assert in_child(lambda: outcomes(calls)) == all_forked(calls)
    assert pair[end].recv(TIMEOUT) == b"the parent's"


@pytest.mark.parametrize("role", ["master", "slave"])
def test_every_call_without_a_link_raises(tmp_path, role):
    with Interface(tmp_path / "socket", role=role) as memif:
        calls = {name: lambda call=call: call(memif) for name, call in CALLS.items()}
        assert in_child(lambda: outcomes(calls)) == all_forked(calls)


def test_the_error_says_what_to_do(pair):
    def work() -> list[str]:
        texts = [repr(pair[0])]
        for call in (pair[0].recv, lambda: pair[1].send(b"")):
            with pytest.raises(RuntimeError, match="make an interface in this process") as caught:
                call()
            texts.append(caught.value.code)
        return texts

    path = pair[0].details().path
    assert in_child(work) == [f"<Interface master {path!r} id=0 inherited>", "SYSCALL", "SYSCALL"]


@pytest.mark.parametrize("end", [0, 1], ids=["master", "slave"])
def test_the_end_of_an_inherited_interface_is_local(pair, end):
    def work() -> str:
        memif = pair[end]
        with memif:
            pass
        memif.close()
        return outcome(memif.recv)

    assert in_child(work) == "NoConnectionError"


def test_what_was_closed_before_the_fork_stays_so(tmp_path):
    memif = Interface(tmp_path / "socket", role="master")
    memif.close()

    def work() -> None:
        memif.close()

    assert in_child(work) is None


def descriptors() -> list[str]:
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if os.path.lexists(link)]


def test_a_child_keeps_no_descriptor_of_the_library(tmp_path):
    """They would keep a link alive in the eyes of peers when the parent is gone."""
    before = sorted(descriptors())
    with contextlib.ExitStack() as stack:
        for interface in connect(str(tmp_path / "socket")):
            stack.callback(interface.close)
        during = sorted(descriptors())
        inherited = in_child(descriptors)
    assert len(during) > len(before)
    ours = set(during) - set(before)
    kinds = ("anon_inode:[eventfd]", "anon_inode:[eventpoll]", "anon_inode:[timerfd]")
    assert not ours & set(inherited) - set(kinds)
    for kind in kinds:
        assert inherited.count(kind) == before.count(kind)


ORPHANS = r"""
import os, signal, sys
from libmemif_py import Interface

slave = Interface(sys.argv[1])
slave.wait_connected(60)
if os.fork() == 0:
    os.write(1, b"child\n")
    sys.stdin.read(1)  # it outlives its parent
    os._exit(0)
os.write(1, b"parent\n")
signal.pause()
"""


def test_a_killed_parent_is_gone_though_its_child_lives(tmp_path):
    path, down = tmp_path / "socket", threading.Event()
    with Interface(path, role="master", on_disconnect=lambda *_: down.set()) as master:
        command = [sys.executable, "-W", "ignore", "-c", ORPHANS, path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
            try:
                master.wait_connected(TIMEOUT)
                assert sorted(process.stdout.readline() for _ in range(2)) == [
                    b"child\n",
                    b"parent\n",
                ]
                assert not down.is_set()
            finally:
                process.kill()
            assert down.wait(TIMEOUT)
            process.stdin.close()  # ends the child


# ---- bursts ----


def test_inherited_bursts_raise_and_end_locally(pair):
    master, slave = pair
    slave.send_burst([b"one", b"two"], TIMEOUT)
    received = master.rx_burst(2, TIMEOUT)
    reserved = master.tx_burst(2, 3, TIMEOUT)
    view = received[0]
    other = {"rx": received, "tx": reserved}

    def work() -> tuple[dict[str, str], bytes]:
        calls = {}
        for name, burst in other.items():
            calls[f"{name} rows"] = lambda burst=burst: burst.rows
            calls[f"{name} data"] = lambda burst=burst: burst.data
            calls[f"{name} item"] = lambda burst=burst: burst[0]
            calls[f"{name} iteration"] = lambda burst=burst: list(burst)
        calls["tx send"] = reserved.send
        found = outcomes(calls)
        seen = bytes(view)  # a view that is there is memory, and stays so
        view.release()
        received.release()
        reserved.release()
        return found, seen

    found, seen = in_child(work)
    assert found == all_forked(found)
    assert seen == b"one"
    assert [bytes(view), bytes(received[1])] == [b"one", b"two"]
    view.release()
    received.release()
    for row in reserved:
        row[:] = b"abc"
        row.release()
    assert reserved.send() == 2
    assert slave.recv_burst(2, TIMEOUT) == [b"abc", b"abc"]


def test_blocks_of_inherited_bursts(pair):
    """The end of a block that would have sent says that nothing was."""
    master, slave = pair
    slave.send(b"packet", TIMEOUT)
    received, reserved = master.rx_burst(1, TIMEOUT), master.tx_burst(1, 3, TIMEOUT)

    def leave(burst: Any) -> Callable[[], None]:
        def call() -> None:
            with burst:
                pass

        return call

    calls = {"rx": leave(received), "tx": leave(reserved)}
    assert in_child(lambda: outcomes(calls)) == {"rx": "no error", "tx": "ForkedError"}
    received.release()
    assert reserved.send(0) == 0


def test_bursts_are_collected_in_a_child(pair):
    master, slave = pair
    slave.send(b"packet", TIMEOUT)
    bursts = [master.rx_burst(1, TIMEOUT), master.tx_burst(1, 3, TIMEOUT)]

    def work() -> None:
        bursts.clear()
        gc.collect()

    assert in_child(work) is None
    assert bytes(bursts[0][0]) == b"packet"
    bursts[0].release()
    bursts[1].release()


def test_a_burst_that_another_thread_holds_holds_nobody_up(pair):
    master, slave = pair
    slave.send(b"packet", TIMEOUT)
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with master.rx_burst(1, TIMEOUT), slave.tx_burst(1, 3, TIMEOUT):
            held.set()
            end.wait(TIMEOUT)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(TIMEOUT)
        calls = {
            "recv": master.recv,
            "rx_burst": master.rx_burst,
            "send": lambda: slave.send(b"x"),
            "tx_burst": lambda: slave.tx_burst(1, 3),
        }
        assert in_child(lambda: outcomes(calls)) == all_forked(calls)
    finally:
        end.set()
        holder.join()
    slave_sent = master.recv(TIMEOUT)  # the reserved one, sent at the end of the block
    assert len(slave_sent) == 3


# ---- asyncio ----


async def outcome_of(call: Callable[[], Any]) -> str:
    try:
        await call()
    except Exception as error:
        return type(error).__name__
    return "no error"


async def outcomes_of(calls: dict[str, Callable[[], Any]]) -> dict[str, str]:
    return {name: await outcome_of(call) for name, call in calls.items()}


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_inherited_asynchronous_interfaces(tmp_path, loop):
    path = str(tmp_path / "socket")

    async def main() -> dict[str, str]:
        async with AsyncInterface(path, role="master") as one, AsyncInterface(path) as other:
            await one.wait_connected()
            await other.wait_connected()
            waiting = [asyncio.create_task(one.recv()) for _ in range(2)]
            await asyncio.sleep(0)
            calls = {
                "recv": one.recv,
                "recv_burst": one.recv_burst,
                "iteration": lambda: anext(aiter(one)),
                "send": lambda: one.send(b"x"),
                "send_burst": lambda: other.send_burst([b"x"]),
                "flush": one.flush,
                "wait_connected": one.wait_connected,
            }

            def work() -> dict[str, str]:
                found = asyncio.run(outcomes_of(calls))
                for memif in (one, other):
                    memif.close()
                return found

            found = in_child(work)
            await other.send_burst([b"a", b"b"])
            assert await asyncio.gather(*waiting) == [b"a", b"b"]
            assert Path(path).is_socket()
        assert not Path(path).exists()
        return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        found = runner.run(main())
    assert found == all_forked(found)


class Receiver(asyncio.DatagramProtocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.packets.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_inherited_transports(tmp_path, loop, end):
    path = str(tmp_path / "socket")

    async def main() -> dict[str, str]:
        one, receiver = await create_memif_endpoint(Receiver, path, role="master")
        other, sender = await create_memif_endpoint(Receiver, path)
        other.sendto(b"first")
        assert await receiver.packets.get() == b"first"
        calls = {
            "sendto": lambda: one.sendto(b"x"),
            "pause_reading": one.pause_reading,
            "resume_reading": one.resume_reading,
        }

        def work() -> dict[str, str]:
            found = outcomes(calls)
            for transport in (one, other):
                getattr(transport, end)()
            return found

        found = in_child(work)
        other.sendto(b"second")
        assert await receiver.packets.get() == b"second"
        assert Path(path).is_socket()
        for transport, protocol in ((one, receiver), (other, sender)):
            transport.close()
            await protocol.lost
        return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        found = runner.run(main())
    assert found == all_forked(found)


def test_a_child_has_an_event_loop_of_its_own(tmp_path, pair):
    path = str(tmp_path / "own")

    async def main() -> bytes:
        async with AsyncInterface(path, role="master") as one, AsyncInterface(path) as other:
            await one.send(b"packet")
            return await other.recv()

    assert in_child(lambda: asyncio.run(main())) == b"packet"


# ---- Scapy, Prometheus ----


def test_inherited_sockets_of_scapy(tmp_path):
    path = tmp_path / "socket"
    with MemifSocket(path, role="master") as one, MemifSocket(path) as other:
        one.interface.wait_connected(TIMEOUT)
        other.interface.wait_connected(TIMEOUT)
        sockets = [one, other]

        def work() -> dict[str, str]:
            calls = {
                "send": lambda: one.send(bytes(14)),
                "recv": one.recv,
                "fileno": one.fileno,
                "select": lambda: one.select([one], 0),
            }
            found = outcomes(calls)
            with other:
                pass
            one.close()
            sockets.clear()
            gc.collect()
            return found

        found = in_child(work)
        assert found == all_forked(found)
        one.send(Ether(src="02:00:00:00:00:01"))
        other.interface.send(bytes(Ether(src="02:00:00:00:00:02")), TIMEOUT)
        assert other.interface.recv(TIMEOUT)[6:12] == bytes.fromhex("020000000001")
        assert one.interface.recv(TIMEOUT)[6:12] == bytes.fromhex("020000000002")
        assert path.is_socket()


def test_inherited_interfaces_have_no_metrics(pair):
    collector = metrics.InterfaceCollector([pair[0]])
    assert in_child(lambda: outcome(lambda: list(collector.collect()))) == "ForkedError"


# ---- forks at any moment ----


def test_forks_while_the_control_plane_is_at_work(tmp_path):
    """The control thread and another one are inside the library at most of these moments."""
    stop = threading.Event()

    def reconnect() -> None:
        while not stop.is_set():
            for interface in connect(str(tmp_path / "socket")):
                interface.close()

    def work() -> None:
        exchange(connect(str(tmp_path / "own")))

    thread = threading.Thread(target=reconnect)
    thread.start()
    try:
        for _ in range(30):
            assert in_child(work) is None
    finally:
        stop.set()
        thread.join()


def test_a_fork_in_a_callback(tmp_path):
    """The child has the library's thread and no other; when the callback returns it ends."""
    path, done = str(tmp_path / "socket"), threading.Event()
    found: list[Any] = []

    def told(memif: Interface) -> None:
        def work() -> str:
            exchange(connect(str(tmp_path / "own")))
            return outcome(memif.recv)

        found.append(in_child(work))
        child = fork()
        if child:
            found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            done.set()

    with Interface(path, role="master", on_connect=told) as master, Interface(path) as slave:
        assert done.wait(TIMEOUT)
        assert found == ["ForkedError", 0]
        exchange((master, slave))
        assert Path(path).is_socket()


def test_a_fork_in_the_question_who_may_connect(tmp_path):
    """The child that returns from it would go on with the handshake in its parent's place."""
    path = str(tmp_path / "socket")
    found: list[int] = []

    def allow(_peer: object) -> bool:
        child = fork()
        if child:
            found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return True

    with Interface(path, role="master", allow=allow) as master, Interface(path) as slave:
        slave.wait_connected(TIMEOUT)
        exchange((master, slave))
        assert found == [0]
