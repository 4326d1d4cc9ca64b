# SPDX-License-Identifier: Apache-2.0
"""What a master accepts in which order, and what it does with it."""

import pytest
from support.fakelink import finder, master_terms
from support.machines import (
    CONNECT,
    CONNECTED,
    HELLO,
    INIT,
    M2S_RING,
    MACHINES_IN,
    ONE_OF_EACH,
    REGION,
    S2M_RING,
    connected_master,
    give,
    master_after,
    refusal,
    sent,
    slave_after,
    started_master,
)

from libmemif_py.control import handshake
from libmemif_py.control.actions import (
    Establish,
    Established,
    ProtocolError,
    Select,
    TakeRegion,
    TakeRing,
)
from libmemif_py.control.handshake import (
    MasterHandshake,
    SlaveHandshake,
)
from libmemif_py.control.wire import (
    Ack,
    AddRegion,
    AddRing,
    Disconnect,
    Hello,
)


@pytest.mark.parametrize(("state", "make"), MACHINES_IN)
def test_the_scripts_reach_every_state(state, make):
    assert make().state == state


@pytest.mark.parametrize(("state", "make"), MACHINES_IN)
@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: message.label)
def test_what_is_not_in_the_table_is_refused_by_name_and_state(state, make, message):
    machine = make()
    if (state, type(message)) in machine.TRANSITIONS:
        # The second region and ring of the script would be refused as duplicates.
        message = {"ADD_REGION": AddRegion(1, 1), "ADD_RING": AddRing(True, 1, 0, 0, 10, 0)}.get(
            message.label, message
        )
        give(machine, message)
    else:
        error = refusal(machine, message)
        assert error.code == "PROTO"
        assert message.label in error.reason
        assert state in error.reason


@pytest.mark.parametrize("machine_class", [MasterHandshake, SlaveHandshake])
def test_every_transition_names_a_method(machine_class):
    for method in machine_class.TRANSITIONS.values():
        assert callable(getattr(machine_class, method))


@pytest.mark.parametrize("message", [Ack(), HELLO, CONNECTED], ids=lambda message: message.label)
def test_a_master_never_takes_what_only_masters_send(message):
    assert type(message) not in {wanted for _state, wanted in MasterHandshake.TRANSITIONS}


@pytest.mark.parametrize(
    "message", [INIT, REGION, S2M_RING, CONNECT], ids=lambda message: message.label
)
def test_a_slave_never_takes_what_only_slaves_send(message):
    assert type(message) not in {wanted for _state, wanted in SlaveHandshake.TRANSITIONS}


def test_a_master_greets_with_both_versions_and_the_limits_of_the_library():
    machine = MasterHandshake(b"master app", finder(master_terms()))
    assert sent(machine.start()) == [HELLO]


def test_the_limits_in_hello_can_be_narrowed():
    machine = MasterHandshake(
        b"a",
        finder(master_terms()),
        min_version=512,
        max_version=512,
        num_s2m_rings=4,
        num_m2s_rings=2,
    )
    assert sent(machine.start()) == [Hello(b"a", 512, 512, 255, 1, 3, 14)]


def test_a_good_init_selects_the_interface_and_is_acknowledged():
    terms = master_terms()
    machine = started_master(finder(terms))
    select, ack = give(machine, INIT)
    assert select == Select()
    assert sent([ack]) == [Ack()]
    assert (machine.version, machine.remote_name, machine.settings) == (512, b"slave app", terms)


def test_a_region_is_taken_before_it_is_acknowledged():
    take, ack = give(master_after(1), AddRegion(3, 99), ["memfd"])
    assert take == TakeRegion(3, 99, "memfd")
    assert sent([ack]) == [Ack()]


def test_a_ring_is_taken_before_it_is_acknowledged():
    take, ack = give(master_after(2), S2M_RING, ["eventfd"])
    assert take == TakeRing(S2M_RING, "eventfd")
    assert sent([ack]) == [Ack()]


def test_connect_waits_for_the_shell_to_map():
    machine = master_after(4)
    assert give(machine, CONNECT) == [Establish()]
    connected, established = machine.accept()
    assert sent([connected]) == [CONNECTED]
    assert established == Established()
    assert machine.state == handshake.CONNECTED


def test_a_master_knows_what_the_slave_offered():
    machine = connected_master()
    assert machine.regions == {0: 4096}
    assert machine.s2m == {0: S2M_RING}
    assert machine.m2s == {0: M2S_RING}
    assert machine.remote_if_name == b"slave/0"


def test_a_shell_that_cannot_map_refuses_with_its_reason():
    machine = master_after(5)
    assert sent(machine.refuse(ProtocolError("COOKIE", "wrong cookie"))) == [
        Disconnect(0, b"wrong cookie")
    ]
    assert machine.state == handshake.CLOSED


def test_rings_may_come_before_their_region_and_in_any_order():
    machine = master_after(1)
    for message in (M2S_RING, AddRing(True, 1, 0, 0, 10, 0), S2M_RING, REGION):
        give(machine, message)
    assert give(machine, CONNECT) == [Establish()]


@pytest.mark.parametrize("make", [master_after, slave_after], ids=["master", "slave"])
def test_before_the_first_message_nothing_is_known_of_the_peer(make):
    machine = make(0)
    assert (machine.version, machine.remote_name, machine.remote_if_name) == (0, b"", b"")
