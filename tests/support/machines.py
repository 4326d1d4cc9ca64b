# SPDX-License-Identifier: Apache-2.0
"""Handshake machines in each of their states, and one message of each kind for them."""

import pytest

from libmemif_py.control import handshake
from libmemif_py.control.actions import (
    ProtocolError,
    Send,
)
from libmemif_py.control.handshake import (
    MasterHandshake,
    SlaveHandshake,
)
from libmemif_py.control.wire import (
    VERSION_1,
    VERSION_2,
    Ack,
    AddRegion,
    AddRing,
    Connect,
    Connected,
    Disconnect,
    Hello,
    Init,
    decode,
    encode,
)
from support.fakelink import SlaveShell, finder, master_terms, slave_terms

VERSIONS = [VERSION_1, VERSION_2]
HELLO = Hello(b"master app", 256, 512, 255, 255, 255, 14)
INIT = Init(512, 7, 0, b"", b"slave app")
REGION = AddRegion(0, 4096)
S2M_RING = AddRing(True, 0, 0, 0, 10, 0)
M2S_RING = AddRing(False, 0, 0, 128, 10, 0)
CONNECT = Connect(b"slave/0")
CONNECTED = Connected(b"master/0")
ONE_OF_EACH = [Ack(), HELLO, INIT, REGION, S2M_RING, CONNECT, CONNECTED, Disconnect(1, b"bye")]
FDS = {AddRegion: ["memfd"], AddRing: ["eventfd"]}

MASTER_SCRIPT = [INIT, REGION, S2M_RING, M2S_RING, CONNECT]
SLAVE_SCRIPT = [HELLO, *[Ack()] * 4, CONNECTED]


def give(machine, message, fds=None, version=VERSION_2):
    """Let a machine receive a message with the descriptors that belong to it."""
    fds = FDS.get(type(message), []) if fds is None else fds
    return machine.receive(encode(message, version), fds)


def refusal(machine, message, fds=None, version=VERSION_2):
    """The error of a message that a machine must refuse."""
    with pytest.raises(ProtocolError) as caught:
        give(machine, message, fds, version)
    assert machine.state == handshake.CLOSED
    return caught.value


def started_master(find=None, **options):
    machine = MasterHandshake(b"master app", find or finder(master_terms()), **options)
    machine.start()
    return machine


def master_after(count, version=VERSION_2, **changes):
    """A master that has received the first messages of the ordinary script."""
    machine = started_master(finder(master_terms(**changes)))
    script = [Init(version, 7, 0, b"", b"slave app"), *MASTER_SCRIPT[1:]]
    for message in script[:count]:
        give(machine, message, version=version)
    return machine


def slave_after(count):
    """A slave, with one region and one ring each way, after the first messages of its script."""
    shell = SlaveShell(SlaveHandshake(slave_terms()))
    for message in SLAVE_SCRIPT[:count]:
        shell.perform(give(shell.machine, message))
    return shell.machine


def preparing_slave(**changes):
    """A slave that has received HELLO, and whose shell has not offered its memory yet."""
    machine = slave_after(0)
    give(machine, hello(**changes))
    return machine


def connected_master():
    machine = master_after(5)
    machine.accept()
    return machine


MASTER_IN = {
    handshake.HELLO_SENT: lambda: master_after(0),
    handshake.ADDING: lambda: master_after(4),
    handshake.MAPPING: lambda: master_after(5),
    handshake.CONNECTED: connected_master,
}
SLAVE_IN = {
    handshake.WAIT_HELLO: lambda: slave_after(0),
    handshake.PREPARING: preparing_slave,
    handshake.INIT_SENT: lambda: slave_after(1),
    handshake.OFFERING: lambda: slave_after(2),
    handshake.CONNECT_SENT: lambda: slave_after(5),
    handshake.CONNECTED: lambda: slave_after(6),
}
MACHINES_IN = [
    pytest.param(state, make, id=f"{role}-{state}")
    for role, states in (("master", MASTER_IN), ("slave", SLAVE_IN))
    for state, make in states.items()
]


def sent(actions):
    """The messages among actions of a peer that speaks version 512."""
    return [decode(action.data, VERSION_2) for action in actions if type(action) is Send]


def hello(**changes):
    fields = {field: getattr(HELLO, field) for field in Hello.__slots__}
    return Hello(**{**fields, **changes})
