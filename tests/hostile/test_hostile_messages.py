# SPDX-License-Identifier: Apache-2.0
"""Whatever a peer says on the control channel ends its own connection at most.

After each attack the target lives, its good connection has lost nothing, nothing is left behind,
and the interface serves one who behaves. See support/attack.py.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

import pytest
from support import raw_peer as p
from support.attack import TARGETS, SharedTarget, Target, shared_targets
from support.raw_peer import MASTER_STATES, SLAVE_STATES, ClosedError, memfd

SIZES = [0, 1, 127, 129, 65536]
UNKNOWN_TYPES = [0, 9, 65535]
versions = pytest.mark.parametrize("version", [256, 512])


@pytest.fixture(scope="module", params=TARGETS)
def shared(request, tmp_path_factory) -> Iterator[SharedTarget]:
    yield from shared_targets(request, tmp_path_factory)


@pytest.fixture
def target(request, shared) -> Iterator[Target]:
    yield from shared.targets(request.session)


def messages(version: int) -> dict[str, bytes]:
    """One of each type, good but for its time."""
    return {
        "ACK": p.message(p.ACK),
        "HELLO": p.hello(),
        "INIT": p.init(version),
        "ADD_REGION": p.add_region(1, 4096),
        "ADD_RING": p.add_ring(version, p.S2M, 1),
        "CONNECT": p.connect(),
        "CONNECTED": p.connected(),
        **{f"type {number}": p.message(number) for number in UNKNOWN_TYPES},
    }


each_message = pytest.mark.parametrize("name", messages(512))


def fds_of(kind: str, stack: contextlib.ExitStack) -> list[int]:
    """What an attacker may send along."""
    a, b = socket.socketpair()
    stack.callback(a.close)
    stack.callback(b.close)
    fds = [*os.pipe(), os.open(__file__, os.O_RDONLY), os.open("/", os.O_RDONLY), memfd(4096)]
    fds += [p.eventfd(), os.open("/dev/zero", os.O_RDWR)]
    for fd in fds:
        stack.callback(os.close, fd)
    kinds = ["pipe out", "pipe in", "file", "directory", "memfd", "eventfd", "device"]
    one = dict(zip(kinds, fds, strict=True)) | {"socket": a.fileno()}
    return {"two": fds[:2], "200": fds[:1] * 200, "253": fds[5:6] * 253}.get(kind) or [one[kind]]


FDS = ["two", "200", "253", "pipe out", "pipe in", "file", "directory", "socket", "device"]


# ---- our master ----

OF_SLAVE = {("greeted", "INIT"), ("rings", "CONNECT")}


@versions
@each_message
@pytest.mark.parametrize("state", SLAVE_STATES)
def test_a_master_closes_on_a_message_out_of_its_time(target, state, name, version):
    with target.slave(version).to(state) as peer:
        peer.send(messages(version)[name])
        if (state, name) in OF_SLAVE:
            assert peer.receive()[0] in (p.ACK, p.CONNECTED)
        else:
            reason = peer.ending()
            assert reason
            assert target.said(reason)
    target.check()
    target.good_slave(version)


@pytest.mark.parametrize("state", SLAVE_STATES)
def test_a_master_takes_a_disconnect_at_any_time(target, state):
    with target.slave().to(state) as peer:
        peer.send(p.disconnect(b"that will do"))
        assert peer.ending() == ""
    target.check()
    assert target.said("that will do")
    target.good_slave()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", SLAVE_STATES)
def test_a_master_closes_on_a_message_of_another_size(target, state, size):
    with target.slave().to(state) as peer:
        peer.send(p.message(p.INIT)[:size].ljust(size, b"\x01"))
        reason = peer.ending()
        # A message of no bytes looks like the end of the connection.
        assert bool(reason) == (size > 0)
    target.check()
    target.good_slave()


@pytest.mark.parametrize("kind", FDS)
@each_message
def test_a_master_closes_the_fds_of_a_bad_message(target, name, kind):
    state = "greeted" if name == "INIT" else "accepted"
    with contextlib.ExitStack() as stack:
        fds = fds_of(kind, stack)
        peer = stack.enter_context(target.slave().to(state))
        peer.send(messages(512)[name], fds)
        if name in ("ADD_REGION", "ADD_RING") and len(fds) == 1:
            with contextlib.suppress(ClosedError):
                peer.receive()  # the fd may be found out only later
        else:
            assert peer.ending()
    target.check()
    target.good_slave()


def send_lingering_socket(peer: p.Slave, data: bytes, stack: contextlib.ExitStack) -> None:
    """Whoever closes it last waits for its data to be taken, an hour at most."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with socket.create_connection(listening.getsockname()) as sock:
        stack.enter_context(listening.accept()[0])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(1 << 12))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 1, 3600))
        if not peer.send(data, [sock.fileno()]):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 0, 0))


@pytest.mark.parametrize("unread", [0, 3])
@pytest.mark.parametrize("name", ["ADD_REGION", "ADD_RING", "CONNECT", "type 9"])
def test_no_close_of_a_peers_fd_waits(target, name, unread):
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(target.slave().to("accepted"))
        for data in [messages(512)[name], *[messages(512)["INIT"]] * unread]:
            send_lingering_socket(peer, data, stack)
        assert peer.ending()
        target.flow.check()
        target.good_slave()
    target.check()


BAD_INITS = {
    **{f"version {v}": {"version": v} for v in (0, 1, 255, 257, 511, 513, 65535)},
    "id that nobody has": {"number": 2},
    "highest id": {"number": 2**32 - 1},
    "mode 1": {"mode": 1},
    "mode 255": {"mode": 255},
    "no secret": {"number": 1},
    "wrong secret": {"number": 1, "secret": b"Secret"},
    "beginning of the secret": {"number": 1, "secret": b"secre"},
    "secret that goes on": {"number": 1, "secret": b"secret" * 4},
}


@pytest.mark.parametrize("fields", BAD_INITS.values(), ids=BAD_INITS)
def test_a_master_refuses_a_bad_init(target, fields):
    with target.slave().to("greeted") as peer:
        peer.send(p.init(**fields))
        reason = peer.ending()
    assert reason
    assert target.said(reason)
    target.check()
    target.good_slave()


@pytest.mark.parametrize("text", [b"", b"\xff" * 32, b"x" * 32, b"\x1b[2J%s%n\n\0\x01rest"])
@versions
def test_a_master_takes_any_name(target, text, version):
    with target.slave(version).to("greeted") as peer:
        peer.ask(p.init(version, name=text))
        peer.state = "accepted"
        peer.to("rings")
        peer.send(p.connect(text))
        peer.expect(p.CONNECTED)
    target.check()


BAD_ADDITIONS = {
    "region without fd": lambda v: p.add_region(1, 4096),
    "region 256": lambda v: (p.add_region(256, 4096), memfd(4096)),
    "region 65535": lambda v: (p.add_region(65535, 4096), memfd(4096)),
    "region a second time": lambda v: (p.add_region(0, 4096), memfd(4096)),
    **{
        f"region of {size} bytes": lambda v, size=size: (p.add_region(1, size), memfd(4096))
        for size in (0, 4097, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
    },
    "region of an empty file": lambda v: (p.add_region(1, 4096), memfd(0)),
    "ring without fd": lambda v: p.add_ring(v, p.S2M, 1),
    **{
        f"{name} ring {index}": lambda v, d=d, index=index: (p.add_ring(v, d, index), p.eventfd())
        for name, d in (("S2M", p.S2M), ("M2S", p.M2S))
        for index in (2, 255, 256, 65535)
    },
    "ring a second time": lambda v: (p.add_ring(v, p.S2M, 0), p.eventfd()),
    **{
        f"ring of 2^{log2}": lambda v, log2=log2: (p.add_ring(v, p.S2M, 1, log2=log2), p.eventfd())
        for log2 in (15, 16, 31, 32, 63, 64, 255)
    },
}


@versions
@pytest.mark.parametrize("bad", BAD_ADDITIONS.values(), ids=BAD_ADDITIONS)
def test_a_master_refuses_what_is_over_a_limit(target, bad, version):
    with target.slave(version).to("rings") as peer:
        made = bad(version)
        data, *fds = made if isinstance(made, tuple) else (made,)
        peer.send(data, [peer.keep(fd) for fd in fds])
        reason = peer.ending()
    assert reason
    assert target.said(reason)
    target.check()
    target.good_slave(version)


def test_a_master_refuses_private_headers(target):
    with target.slave().to("region") as peer:
        peer.send(p.add_ring(512, p.S2M, private=1), [peer.keep(p.eventfd())])
        assert "private" in peer.ending()
    target.check()


# ---- our slave ----

OF_MASTER = {("silent", "HELLO"), ("asked", "CONNECTED")}
OF_MASTER |= {(state, "ACK") for state in ("greeted", "accepted", "offered")}


@versions
@each_message
@pytest.mark.parametrize("state", MASTER_STATES)
def test_a_slave_closes_on_a_message_out_of_its_time(target, state, name, version):
    with target.master(version).to(state) as peer:
        peer.send(messages(version)[name])
        if (state, name) in OF_MASTER:
            if name != "CONNECTED":
                assert peer.receive()[0] in (p.INIT, p.ADD_REGION, p.ADD_RING)
        else:
            reason = peer.ending()
            assert reason
            assert target.said(reason)
    target.check()
    target.good_master(version)


@pytest.mark.parametrize("state", MASTER_STATES)
def test_a_slave_takes_a_disconnect_at_any_time(target, state):
    with target.master().to(state) as peer:
        peer.send(p.disconnect(b"go away now"))
        assert peer.ending() == ""
    target.check()
    assert target.said("go away now")
    target.good_master()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", MASTER_STATES)
def test_a_slave_closes_on_a_message_of_another_size(target, state, size):
    with target.master().to(state) as peer:
        peer.send(p.hello()[:size].ljust(size, b"\x01"))
        assert bool(peer.ending()) == (size > 0)
    target.check()


@pytest.mark.parametrize("kind", FDS)
@each_message
def test_a_slave_takes_no_fds(target, name, kind):
    state = "silent" if name == "HELLO" else "greeted"
    with contextlib.ExitStack() as stack:
        fds = fds_of(kind, stack)
        peer = stack.enter_context(target.master().to(state))
        peer.send(messages(512)[name], fds)
        assert peer.ending()
    target.check()


BAD_HELLOS = {
    "lowest over highest": {"lowest": 512, "highest": 256},
    "no version": {"lowest": 0, "highest": 0},
    "only newer ones": {"lowest": 513, "highest": 65535},
    "only one in between": {"lowest": 257, "highest": 511},
    "only older ones": {"lowest": 1, "highest": 255},
    "no second region": {"regions": 0},
    "ring of one slot in version 256": {"highest": 256, "log2": 0},
}


@pytest.mark.parametrize("fields", BAD_HELLOS.values(), ids=BAD_HELLOS)
def test_a_slave_refuses_a_bad_hello(target, fields):
    with target.master() as peer:
        peer.send(p.hello(**fields))
        reason = peer.ending()
    assert reason
    assert target.said(reason)
    target.check()
    target.good_master()


ODD_HELLOS = {
    "all limits 65535": {"regions": 65535, "m2s": 65535, "s2m": 65535, "log2": 255},
    "one ring of one slot each": {"m2s": 0, "s2m": 0, "log2": 0},
    "every version": {"lowest": 0, "highest": 65535},
    "version 511 as the highest": {"highest": 511, "regions": 0},
    "a name without an end": {"name": b"\xff" * 32},
}


@pytest.mark.parametrize("fields", ODD_HELLOS.values(), ids=ODD_HELLOS)
def test_a_slave_lives_with_odd_limits(target, fields):
    version = 256 if fields.get("highest") == 511 else 512
    with target.master(version) as peer:
        peer.send(p.hello(**fields))
        data, _ = peer.expect(p.INIT)
        assert int.from_bytes(data[2:4], "little") == version
        peer.state = "greeted"
        peer.to("connected")
        assert peer.exchange(b"odd") == b"odd"
    target.check()


@versions
def test_a_slave_lives_with_answers_that_come_twice_or_early(target, version):
    with target.master(version).to("greeted") as peer:
        for _ in range(20):
            peer.send(p.message(p.ACK))
        reason = peer.ending()
    assert "ACK" in reason
    assert peer.seen.count(p.CONNECT) == 1
    target.check()
    target.good_master(version)
