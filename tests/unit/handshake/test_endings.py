# SPDX-License-Identifier: Apache-2.0
"""How a handshake ends, and what a shell must not do to a machine."""

import pytest
from support.fakelink import finder, master_terms, slave_terms
from support.machines import (
    HELLO,
    INIT,
    MACHINES_IN,
    MASTER_IN,
    REGION,
    SLAVE_IN,
    give,
    hello,
    master_after,
    preparing_slave,
    refusal,
    sent,
    slave_after,
    started_master,
)

from libmemif_py.control import handshake
from libmemif_py.control.actions import (
    Closed,
    HandshakeMisuse,
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
    Init,
)


@pytest.mark.parametrize(("state", "make"), MACHINES_IN)
def test_disconnect_closes_from_every_state(state, make):
    machine = make()
    assert give(machine, Disconnect(3, b"bye")) == [Closed(3, b"bye")]
    assert machine.state == handshake.CLOSED


@pytest.mark.parametrize(("state", "make"), MACHINES_IN)
@pytest.mark.parametrize("reason", [b"bye", "bye"])
def test_we_may_disconnect_in_every_state(state, make, reason):
    machine = make()
    assert sent(machine.disconnect(reason)) == [Disconnect(0, b"bye")]
    assert machine.state == handshake.CLOSED


@pytest.mark.parametrize(("state", "make"), MACHINES_IN)
def test_a_closed_machine_receives_nothing_more(state, make):
    machine = make()
    machine.disconnect(b"")
    with pytest.raises(HandshakeMisuse):
        give(machine, Ack())


def test_a_refusal_can_be_told_after_the_error_closed_the_machine():
    machine = started_master()
    error = refusal(machine, REGION)
    assert sent(machine.refuse(error)) == [Disconnect(0, error.reason.encode())]


def test_a_long_reason_is_cut_between_characters():
    (message,) = sent(slave_after(0).disconnect("x" * 95 + "ä"))
    assert message.reason == b"x" * 95


def test_every_refusal_of_the_largest_values_fits_its_message():
    worst = [
        (0, Init(0xFFFF, 7, 0, b"", b"")),
        (0, Init(512, 7, 255, b"", b"")),
        (1, AddRegion(0xFFFF, 0)),
        (1, AddRing(False, 0xFFFF, 0, 0, 10, 0)),
        (1, AddRing(True, 0, 0, 0, 255, 0)),
        (1, AddRing(True, 0, 0, 0, 10, 0xFFFF)),
    ]
    errors = [refusal(master_after(count), message) for count, message in worst]
    errors.append(refusal(slave_after(0), hello(min_version=0xFFFF, max_version=0xFFFF)))
    for error in errors:
        (message,) = sent(started_master().refuse(error))
        assert message.reason.decode() == error.reason


def test_a_master_must_start_before_it_receives():
    with pytest.raises(HandshakeMisuse):
        give(MasterHandshake(b"", finder(master_terms())), INIT)


@pytest.mark.parametrize("state", list(MASTER_IN))
def test_a_master_starts_once(state):
    with pytest.raises(HandshakeMisuse):
        MASTER_IN[state]().start()


@pytest.mark.parametrize("state", [state for state in MASTER_IN if state != handshake.MAPPING])
def test_accept_answers_connect_only(state):
    with pytest.raises(HandshakeMisuse):
        MASTER_IN[state]().accept()


@pytest.mark.parametrize("state", [state for state in SLAVE_IN if state != handshake.PREPARING])
def test_offer_answers_prepare_only(state):
    with pytest.raises(HandshakeMisuse):
        SLAVE_IN[state]().offer(regions=[(1, "a")], s2m=[(0, 0, "b")], m2s=[(0, 0, "c")])


@pytest.mark.parametrize(
    ("s2m", "m2s"),
    [
        ([], [(0, 0, "c")]),
        ([(0, 0, "b")], []),
        ([(1, 0, "b")], [(0, 0, "c")]),
        ([(0, 0, "b")], [(-1, 0, "c")]),
    ],
    ids=["no S2M", "no M2S", "S2M in no region", "M2S in no region"],
)
def test_an_offer_must_be_what_prepare_asked_for(s2m, m2s):
    machine = preparing_slave()
    with pytest.raises(HandshakeMisuse):
        machine.offer(regions=[(1, "a")], s2m=s2m, m2s=m2s)


def test_an_ack_before_the_offer_is_refused():
    error = refusal(preparing_slave(), Ack())
    assert (error.code, error.reason) == ("PROTO", "ACK is not allowed in state PREPARING")


def test_no_action_shows_a_secret():
    slave = SlaveHandshake(slave_terms(secret=b"hush"))
    master = started_master(finder(master_terms(secret=b"hush")))
    prepare = give(slave, HELLO)
    (init,) = slave.offer(regions=[(1, "a")], s2m=[(0, 0, "b")], m2s=[(0, 0, "c")])
    assert b"hush" in init.data
    answer = master.receive(init.data)
    assert "hush" not in repr([*prepare, init, *answer])
