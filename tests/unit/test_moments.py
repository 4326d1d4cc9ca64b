# SPDX-License-Identifier: Apache-2.0
"""What ends or begins while the control plane has let go of its lock.

Each moment is made: another thread's part is played by what is called just then.
"""

import contextlib
import errno
import os
import threading
import types

import pytest
from support.rig import SECOND, rig_and_peer, rig_in

from libmemif_py import Interface, errors, observer
from libmemif_py.capi import common, v1, v4
from libmemif_py.control import reactor, wire
from libmemif_py.control.hub import Hub
from libmemif_py.control.lock import LOCK

NULL = reactor.ffi.NULL


@pytest.mark.parametrize("api", [v1.ApiV1, v4.ApiV4])
def test_details_are_read_under_the_control_lock(monkeypatch, api):
    """Beside it a link could end, and its memory with it."""
    held = {}

    def note(name, answer=None):
        def called(*_):
            held[name] = LOCK.is_own()
            return answer

        return called

    settings = types.SimpleNamespace(path=b"path")
    endpoint = types.SimpleNamespace(settings=settings, last_error="")
    for name in ("find", "describe", "_describe_regions", "describe_queues"):
        monkeypatch.setattr(api, name, note(name, endpoint), raising=False)
    room = reactor.ffi.new("char[100]")
    api(reactor.ffi, reactor.lib).details(None, types.SimpleNamespace(), room, 100)
    assert len(held) == (4 if api is v4.ApiV4 else 3)
    assert all(held.values())


# ---- listeners ----


def after(monkeypatch, method, then, answer=None):
    """Call `then` when this method of a hub has done its work for the first time."""
    original = getattr(Hub, method)
    calls = []

    def called(self, *arguments):
        result = original(self, *arguments)
        calls.append(arguments)
        if len(calls) == 1:
            with self.unlocked():
                then()
            return result if answer is None else answer
        return result

    monkeypatch.setattr(Hub, method, called)
    return calls


def up(*endpoints):
    return lambda: all(endpoint.connected for endpoint in endpoints)


def test_a_peer_that_comes_before_the_first_interface_waits_for_it(tmp_path, monkeypatch):
    with rig_and_peer(tmp_path) as (rig, peer):
        answers = []

        def come():
            peer.connect(rig.path)
            answers.append(reactor.lib.mif_poller_poll(rig.pointer, SECOND))

        after(monkeypatch, "_watch", come)
        rig.add(is_master=True)
        rig.poll(lambda: rig.hub._links)
        assert isinstance(wire.decode(peer.recv(wire.MESSAGE_SIZE), 512), wire.Hello)
        assert answers == [0]


def test_two_masters_that_come_at_once_share_a_listener(tmp_path, monkeypatch):
    with rig_in(tmp_path) as rig:
        other = []
        after(monkeypatch, "_watch", lambda: other.append(rig.add(True, 1)[0]))
        one, _ = rig.add(True, 0)
        slaves = [rig.add(False, number)[0] for number in (0, 1)]
        rig.poll(up(one, *other, *slaves))


def test_a_master_stays_when_the_one_that_began_to_listen_fails(tmp_path, monkeypatch):
    with rig_in(tmp_path) as rig:
        other = []
        code = reactor.native.codes["NOMEM"]

        def come():
            other.append(rig.add(True, 1)[0])
            reactor.lib.mif_poller_unwatch(rig.pointer, rig.hub.listener_fd(rig.path))

        after(monkeypatch, "_watch", come, answer=code)
        with pytest.raises(errors.NoMemoryError):
            rig.add(True, 0)
        slave, _ = rig.add(False, 1)
        rig.poll(up(slave, *other))


def test_a_master_listens_when_another_has_come_and_gone(tmp_path, monkeypatch):
    with rig_in(tmp_path) as rig:
        after(monkeypatch, "_watch", lambda: rig.hub.remove(rig.add(True, 1)[0]))
        master, _ = rig.add(True, 0)
        slave, _ = rig.add(False, 0)
        rig.poll(up(master, slave))


def test_a_hub_that_was_closed_while_it_began_to_listen_has_no_new_interface(tmp_path, monkeypatch):
    with rig_in(tmp_path) as rig:
        after(monkeypatch, "_watch", rig.hub.close)
        with pytest.raises(errors.ArgumentError, match="being deleted"):
            rig.add(True)
        assert not rig.hub.in_use()
        assert not os.path.exists(rig.path)


def test_a_listener_that_ends_when_it_cannot_accept_is_not_waited_for(tmp_path, monkeypatch):
    with rig_in(tmp_path) as rig:
        master, _ = rig.add(True)
        listener = rig.hub._listeners[rig.path]

        def fail():
            raise OSError(errno.EMFILE, "none left")

        monkeypatch.setattr(listener._socket, "accept", fail)
        after(monkeypatch, "unwatch", lambda: rig.hub.remove(master))
        with LOCK:
            listener.on_ready(0)
        assert len(rig.hub._deadlines) == 0
        listener.timed_out()  # as it was due already
        assert set(rig.hub._handlers) == {rig.hub._deadlines.fileno()}


def test_a_listener_that_ends_while_it_makes_room_welcomes_nobody(tmp_path, monkeypatch):
    with rig_and_peer(tmp_path) as (rig, peer):
        master, _ = rig.add(True)
        listener = rig.hub._listeners[rig.path]
        peer.connect(rig.path)
        accepted = listener._socket.accept()
        rig.hub.remove(master)
        listener._begin(accepted)
        assert peer.recv(wire.MESSAGE_SIZE) == b""


def test_a_closed_hub_has_no_timer(tmp_path):
    with rig_in(tmp_path) as rig:
        rig.hub.close()
        taken = os.dup(0)  # the number that the timer had, perhaps
        rig.hub.set_deadline(rig, 0)
        rig.hub._deadlines.on_ready(0)
        assert len(rig.hub._deadlines) == 0
        assert rig.hub._deadlines.fileno() == -1
        os.close(taken)


# ---- descriptors ----


@pytest.mark.parametrize("announces", [True, False])
def test_the_lock_is_let_go_of_only_where_the_application_is_told(tmp_path, monkeypatch, announces):
    held = []

    class Library:
        def __getattr__(self, name):
            if name == "mif_poller_announces":
                return lambda _hub: announces
            if name in ("mif_poller_watch", "mif_poller_unwatch"):
                held.append(LOCK.is_own())
            return getattr(reactor.lib, name)

    monkeypatch.setattr(reactor.native, "lib", Library())
    with rig_in(tmp_path) as rig:
        rig.add(True)
    assert held == [not announces] * 4


@pytest.mark.parametrize("is_taken", [True, False])
def test_what_cannot_be_watched_may_be_forgotten_already(tmp_path, monkeypatch, is_taken):
    with rig_in(tmp_path) as rig:
        fd = os.eventfd(0)
        other = object()

        def forget():
            with LOCK:
                rig.hub.unwatch(fd)
                if is_taken:
                    rig.hub.watch(fd, other)

        after(monkeypatch, "_watch", forget, answer=reactor.native.codes["NOMEM"])
        with LOCK, pytest.raises(errors.NoMemoryError):
            rig.hub.watch(fd, object())
        assert rig.hub._handlers.get(fd) is (other if is_taken else None)
        with LOCK:
            rig.hub.unwatch(fd)
        os.close(fd)


# ---- messages that another thread receives ----


class UntrustedMessage:
    """Has received a message with a descriptor."""

    kind = wire.AddRegion

    def __init__(self, fd):
        self.fd = fd
        self.is_closed = False

    def fileno(self):
        return 1 << 20

    def answer(self):
        return b"message", [self.fd], 1

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize("error", [errors.NoMemoryError("no"), OSError(errno.ENOMEM, "no")])
def test_a_received_descriptor_is_closed_when_the_end_of_the_wait_fails(
    tmp_path, monkeypatch, error
):
    with rig_and_peer(tmp_path) as (rig, peer):
        link = rig.welcome(peer)
        link._untrusted = message = UntrustedMessage(os.eventfd(0))
        unwatch = Hub.unwatch

        def fail(self, fd):
            if fd == message.fileno():
                raise error
            unwatch(self, fd)

        monkeypatch.setattr(Hub, "unwatch", fail)
        is_ours = isinstance(error, errors.MemifError)
        with LOCK, contextlib.nullcontext() if is_ours else pytest.raises(OSError):
            link.received_untrusted(message)
        assert message.is_closed
        assert link.closing
        with pytest.raises(OSError):
            os.fstat(message.fd)


# ---- a link that ends before its beginning was told ----


def test_an_interface_that_was_closed_first_does_not_go_up(tmp_path, monkeypatch):
    connected = observer.Observer.connected
    told, failed, passed = [], [], threading.Event()

    def late(self, endpoint, handle):
        if endpoint.settings.is_master:
            connected(self, endpoint, handle)
            return
        self._state.endpoint = endpoint
        self._interface().close()
        try:
            connected(self, endpoint, handle)
        except BaseException as error:
            failed.append(error)
        passed.set()

    monkeypatch.setattr(observer.Observer, "connected", late)
    path = tmp_path / "m.sock"
    with Interface(path, role="master"):
        slave = Interface(
            path,
            on_connect=lambda _: told.append("up"),
            on_disconnect=lambda *_: told.append("down"),
        )
        assert passed.wait(60)
        assert (slave.connected, told, failed) == (False, [], [])


def test_on_connect_has_the_handle_also_when_the_interface_is_gone():
    handles = []

    def on_connect(handle, _context):
        handles.append(handle)
        return 0

    gone = types.SimpleNamespace(handle=NULL)
    common.Program(reactor.native, on_connect, NULL, NULL).connected(gone, 77)
    assert handles == [77]
