# SPDX-License-Identifier: Apache-2.0
"""A hub: who waits for its lock, when its slaves try again, and what it leaves behind."""

import contextlib
import os
import pickle
import socket
import threading
import time
import types

import pytest
from support.children import fork, in_child, outcome, run_and_exit
from support.rig import rig_and_peer, rig_in

from libmemif_py import errors
from libmemif_py.control import hub as hub_module
from libmemif_py.control import reactor
from libmemif_py.control.hub import Hub
from libmemif_py.control.lock import LOCK

SOON = 0.001


@contextlib.contextmanager
def listening(path, backlog=8):
    """A master's socket that only the test looks at."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(backlog)
        listener.setblocking(False)
        yield listener


def come(listener):
    """How many connections wait there, which are closed."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def wait_a_little(rig):
    """As long as all that is due soon needs."""
    for _ in range(5):
        reactor.lib.mif_poller_poll(rig.pointer, 20)


# ---- the lock ----


@pytest.mark.parametrize(
    "call",
    [
        lambda rig, endpoint: rig.hub.find(endpoint.handle),
        lambda rig, _: rig.hub.listener_fd(rig.path),
        lambda rig, _: outcome(lambda: rig.hub.adopt_listener(0)),
    ],
    ids=["find", "listener_fd", "adopt_listener"],
)
def test_nobody_looks_at_a_hub_while_another_thread_changes_it(tmp_path, call):
    with rig_in(tmp_path) as rig:
        endpoint, _ = rig.add(True)
        thread = threading.Thread(target=call, args=(rig, endpoint))
        with LOCK:
            thread.start()
            thread.join(0.2)
            is_waiting = thread.is_alive()
        thread.join()
        assert is_waiting


def test_a_hub_that_closes_waits_for_a_callback_of_another_thread(tmp_path, monkeypatch):
    """Without the lock, which that thread needs to come back, and not in haste."""
    inside, end = threading.Event(), threading.Event()
    held = []

    def call_back(hub):
        with LOCK, hub.users, hub.unlocked():
            inside.set()
            end.wait(10)

    def pause(seconds):
        held.append(LOCK.is_own())
        end.set()
        if held[-1]:
            raise RuntimeError("that thread never comes back")
        time.sleep(seconds)

    clock = types.SimpleNamespace(sleep=pause, monotonic=time.monotonic)
    monkeypatch.setattr(hub_module, "time", clock)
    with rig_in(tmp_path) as rig:
        user = threading.Thread(target=call_back, args=(rig.hub,))
        user.start()
        assert inside.wait(60)
        try:
            rig.hub.close()
        finally:
            user.join()
        assert held
        assert not any(held)


# ---- a hub that is closed ----


@pytest.mark.parametrize(
    "call",
    [lambda hub, fd: hub.adopt_listener(fd), lambda hub, _: hub.set_retry(1, 1)],
    ids=["adopt_listener", "set_retry"],
)
def test_a_closed_hub_takes_no_orders(tmp_path, call):
    with rig_in(tmp_path) as rig, listening(bytes(tmp_path / "other")) as listener:
        rig.hub.close()
        with pytest.raises(errors.ArgumentError, match="being deleted"):
            call(rig.hub, listener.fileno())


def test_a_peer_without_an_interface_sees_the_end_too(tmp_path):
    with rig_and_peer(tmp_path) as (rig, peer):
        rig.welcome(peer)
        rig.hub.close()
        peer.settimeout(10)
        while peer.recv(4096):
            pass


def test_a_signal_while_an_interface_ends_leaves_no_connection_behind(tmp_path, monkeypatch):
    """Its handler may raise before the link was closed, and the hub closes it then."""
    with rig_in(tmp_path) as rig, listening(rig.path) as listener:
        slave, _ = rig.add(False)
        rig.poll(lambda: slave.link)

        def interrupted(_error):
            monkeypatch.undo()
            raise KeyboardInterrupt

        monkeypatch.setattr(slave.link.machine, "refuse", interrupted)
        with listener.accept()[0] as peer:
            with pytest.raises(KeyboardInterrupt):
                rig.hub.close()
            peer.settimeout(10)
            while peer.recv(4096):
                pass
        assert not rig.hub.in_use()


# ---- listening sockets ----


def test_who_does_not_listen_has_no_socket_for_it(tmp_path):
    with rig_in(tmp_path) as rig, listening(bytes(tmp_path / "other")) as listener:
        assert rig.hub.listener_fd(rig.path) == -1
        rig.hub.adopt_listener(listener.fileno())
        assert rig.hub.listener_fd(rig.path) == listener.fileno()


# ---- slaves ----


def test_only_a_slave_without_a_master_tries_again(tmp_path):
    with rig_in(tmp_path) as rig, listening(rig.path) as listener:
        slave, _ = rig.add(False)
        rig.poll(lambda: slave.link)
        waiting, _ = listener.accept()  # it stays in the middle of its handshake
        with waiting:
            rig.hub.set_retry(SOON, SOON)
            wait_a_little(rig)
            assert come(listener) == 0


def test_a_master_never_tries(tmp_path):
    with rig_in(tmp_path) as rig:
        master, _ = rig.add(True)
        rig.hub.set_retry(SOON, SOON)
        wait_a_little(rig)
        assert (master.last_error, rig.hub._links) == ("", [])


@pytest.mark.parametrize(("first", "interval"), [(SOON, None), (None, SOON)])
def test_without_a_first_time_the_interval_counts(tmp_path, first, interval):
    with rig_in(tmp_path) as rig:
        slave, _ = rig.add(False, retry_interval=3600)
        rig.poll(lambda: slave.last_error)
        rig.hub.set_retry(first, interval)
        with listening(rig.path) as listener:
            wait_a_little(rig)
            assert come(listener) == 1


def test_a_slave_that_was_told_to_connect_does_not_come_twice(tmp_path):
    with rig_in(tmp_path) as rig, listening(rig.path) as listener:
        slave, _ = rig.add(False)  # its first attempt is due
        rig.hub.request(slave)
        wait_a_little(rig)
        assert come(listener) == 1


def test_a_slave_tries_soon_again_where_too_many_wait(tmp_path):
    with (
        rig_in(tmp_path) as rig,
        listening(rig.path, backlog=0) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first,
    ):
        first.connect(rig.path)
        slave, _ = rig.add(False, retry_interval=3600)
        wait_a_little(rig)
        assert (slave.link, slave.last_error) == (None, "")
        assert len(rig.hub._deadlines) == 1
        assert come(listener) == 1
        rig.poll(lambda: slave.link)


def test_a_connection_without_a_link_is_closed(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(hub_module, "SlaveLink", fail)
    with rig_in(tmp_path) as rig, listening(rig.path) as listener:
        slave, _ = rig.add(False)
        with pytest.raises(MemoryError) as raised:
            rig.hub.request(slave)
        with listener.accept()[0] as peer:
            peer.setblocking(False)
            assert peer.recv(1) == b""
        del raised  # until now it kept the connection from being closed by chance


# ---- in a forked child ----


def test_a_child_has_a_closed_and_empty_hub(tmp_path):
    with rig_in(tmp_path) as rig:
        rig.add(True)
        slave, _ = rig.add(False)
        rig.poll(lambda: slave.link)
        hub = rig.hub
        assert in_child(
            lambda: (
                outcome(lambda: rig.add(False)),
                hub.in_use(),
                hub.listener_fd(rig.path),
                [len(kept) for kept in (hub._links, hub._handlers, hub._deadlines)],
            )
        ) == ("ArgumentError", False, -1, [0, 0, 0])


def test_a_child_of_a_program_that_had_closed_its_hub_goes_on(tmp_path):
    with rig_in(tmp_path) as rig:
        rig.hub.close()
        assert in_child(lambda: outcome(lambda: rig.hub.abandon(at_rest=True))) == "no error"


@pytest.mark.parametrize("end", [Hub.close, lambda hub: hub.abandon(at_rest=True)])
def test_a_timer_that_took_the_place_of_stdin_is_closed_too(end):
    def is_timer_open():
        pointer = reactor.lib.mif_native_poller_new()
        os.close(0)
        hub = Hub(reactor.native, pointer, b"test")
        assert hub._deadlines.fileno() == 0
        end(hub)
        return os.path.lexists("/proc/self/fd/0")

    assert in_child(is_timer_open) is False


def test_a_child_of_a_callback_of_a_hub_that_closes_returns_from_it(tmp_path):
    """The callback returns in both processes, and in the child the timer is gone by then."""
    reading, writing = os.pipe()
    children = []

    def fork_once(*_):
        children.append(fork())

    with rig_in(tmp_path) as rig:
        master, observer = rig.add(True)
        slave, _ = rig.add(False)
        rig.poll(lambda: master.connected and slave.connected)
        observer.disconnected = fork_once
        ending = outcome(rig.hub.close)
        if children == [0]:
            run_and_exit(lambda: ending, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert (ending, pickle.load(pipe)) == ("no error", "no error")  # noqa: S301 - our own
    os.waitpid(children[0], 0)
