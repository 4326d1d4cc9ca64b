# SPDX-License-Identifier: Apache-2.0
"""What a slave chooses, offers and sends."""

import pytest
from support.fakelink import (
    SlaveShell,
    slave_terms,
)
from support.machines import (
    CONNECTED,
    HELLO,
    give,
    hello,
    preparing_slave,
    refusal,
    sent,
    slave_after,
)

from libmemif_py.control import handshake
from libmemif_py.control.actions import (
    Established,
    Prepare,
    ProtocolError,
)
from libmemif_py.control.handshake import (
    SlaveHandshake,
)
from libmemif_py.control.wire import (
    VERSION_1,
    VERSION_2,
    Ack,
    AddRegion,
    AddRing,
    Connect,
    Init,
)


def test_a_slave_prepares_before_it_asks():
    machine = slave_after(0)
    assert give(machine, HELLO) == [Prepare(512, 1, 1, 10, 255)]
    init = machine.offer(regions=[(1, "a")], s2m=[(0, 0, "b")], m2s=[(0, 0, "c")])
    assert sent(init) == [Init(512, 7, 0, bytes(24), b"slave app")]
    assert (machine.version, machine.remote_name) == (512, b"master app")


@pytest.mark.parametrize(
    ("theirs", "ours", "chosen"),
    [
        ((256, 512), (256, 512), 512),
        ((256, 256), (256, 512), 256),
        ((512, 512), (256, 512), 512),
        ((256, 512), (256, 256), 256),
        ((0, 0xFFFF), (256, 512), 512),
        ((0, 511), (256, 512), 256),
        ((257, 512), (256, 512), 512),
    ],
)
def test_the_highest_common_version_is_taken(theirs, ours, chosen):
    machine = SlaveHandshake(slave_terms(min_version=ours[0], max_version=ours[1]))
    (prepare,) = give(machine, hello(min_version=theirs[0], max_version=theirs[1]))
    assert prepare.version == machine.version == chosen


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((512, 512), (256, 256)),
        ((256, 256), (512, 512)),
        ((257, 511), (256, 512)),
        ((513, 600), (256, 512)),
        ((512, 256), (256, 512)),
    ],
)
def test_without_a_common_version_the_slave_gives_up(theirs, ours):
    machine = SlaveHandshake(slave_terms(min_version=ours[0], max_version=ours[1]))
    error = refusal(machine, hello(min_version=theirs[0], max_version=theirs[1]))
    assert error.code == "PROTO"


def test_the_slave_offers_no_more_rings_than_hello_allows():
    machine = SlaveHandshake(slave_terms(num_s2m_rings=9, num_m2s_rings=9))
    (prepare,) = give(machine, hello(max_s2m_ring=3, max_m2s_ring=4))
    assert (prepare.num_s2m, prepare.num_m2s) == (4, 5)


def test_the_slave_offers_no_larger_rings_than_hello_allows():
    (prepare,) = give(slave_after(0), hello(max_log2_ring_size=8))
    assert prepare.log2_ring_size == 8


@pytest.mark.parametrize(("version", "accepted"), [(VERSION_1, False), (VERSION_2, True)])
def test_a_ring_of_one_slot_needs_free_running_indices(version, accepted):
    machine = slave_after(0)
    message = hello(max_version=version, max_log2_ring_size=0)
    if accepted:
        assert give(machine, message)[0].log2_ring_size == 0
    else:
        assert refusal(machine, message).code == "MAX_RING"


@pytest.mark.parametrize(("theirs", "told"), [(3, 3), (255, 255), (256, 255), (0xFFFF, 255)])
def test_the_shell_is_told_how_many_regions_are_allowed(theirs, told):
    (prepare,) = give(slave_after(0), hello(max_region=theirs))
    assert prepare.max_region == told


def test_more_regions_than_allowed_are_refused_by_the_machine():
    machine = preparing_slave(max_region=1)
    rings = [(0, 0, "e")]
    with pytest.raises(ProtocolError) as caught:
        machine.offer(regions=[(1, "a"), (1, "b"), (1, "c")], s2m=rings, m2s=rings)
    assert caught.value.code == "MAXREG"
    assert caught.value.reason == "3 regions needed, peer allows 2"
    assert machine.state == handshake.CLOSED


def test_as_many_regions_as_allowed_may_be_offered():
    machine = preparing_slave(max_region=1)
    machine.offer(regions=[(1, "a"), (1, "b")], s2m=[(0, 0, "e")], m2s=[(1, 0, "e")])
    assert machine.state == handshake.INIT_SENT


def test_each_ack_brings_the_next_message_with_its_descriptor():
    shell = SlaveShell(SlaveHandshake(slave_terms()), regions=(1, 2))
    shell.perform(give(shell.machine, HELLO))
    for _ in range(5):
        before = len(shell.sent)
        shell.perform(give(shell.machine, Ack()))
        assert len(shell.sent) == before + 1
    assert shell.sent[1:] == [
        AddRegion(0, 1),
        AddRegion(1, 2),
        AddRing(True, 0, 0, 0, 10, 0),
        AddRing(False, 0, 0, 0, 10, 0),
        Connect(b"slave/0"),
    ]
    travelled = [fd for _data, fds in shell.outbox for fd in fds]
    assert travelled == ["memfd 0", "memfd 1", "S2M eventfd 0", "M2S eventfd 0"]


def test_connected_establishes_the_slave():
    machine = slave_after(5)
    assert give(machine, CONNECTED) == [Established()]
    assert machine.remote_if_name == b"master/0"
