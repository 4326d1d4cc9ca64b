# SPDX-License-Identifier: Apache-2.0
"""A relay passes on what real peers say, refuses what a master would, and loses no descriptor."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakelink import MasterShell, SlaveShell, finder, master_terms, recordings, slave_terms
from support.machines import (
    CONNECT,
    CONNECTED,
    FDS,
    HELLO,
    INIT,
    M2S_RING,
    ONE_OF_EACH,
    REGION,
    S2M_RING,
)

from libmemif_py.control import relay
from libmemif_py.control.actions import Closed, Established, HandshakeMisuse, ProtocolError
from libmemif_py.control.handshake import MasterHandshake, SlaveHandshake
from libmemif_py.control.relay import MASTER, OTHER, SLAVE, Pass, Relay
from libmemif_py.control.wire import (
    VERSION_1,
    VERSION_2,
    Ack,
    AddRegion,
    AddRing,
    Connected,
    Disconnect,
    Hello,
    Init,
    decode,
    encode,
)

RECORDINGS = recordings()
ADDED = [(SLAVE, REGION), (SLAVE, S2M_RING), (SLAVE, M2S_RING)]
SCRIPT = [
    (MASTER, HELLO),
    (SLAVE, INIT),
    (MASTER, Ack()),
    *(step for added in ADDED for step in (added, (MASTER, Ack()))),
    (SLAVE, CONNECT),
    (MASTER, CONNECTED),
]
# How many messages lead to each state.
STEPS = {
    relay.WAIT_HELLO: 0, relay.GREETED: 1, relay.ASKED: 2, relay.ADDING: 3,
    relay.CONNECTING: 10, relay.CONNECTED: 11,
}  # fmt: skip


def give(machine, end, message, fds=None, version=VERSION_2):
    fds = FDS.get(type(message), []) if fds is None else fds
    return machine.receive(end, encode(message, version), fds)


def relay_after(count, **options):
    machine = Relay(**options)
    for end, message in SCRIPT[:count]:
        give(machine, end, message)
    return machine


def refusal(machine, end, message, fds=None):
    with pytest.raises(ProtocolError) as caught:
        give(machine, end, message, fds)
    assert machine.state == relay.CLOSED
    return caught.value


def told(actions):
    """Whom a relay of version 512 told which reason."""
    return {action.to: decode(action.data, VERSION_2).reason.decode() for action in actions}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_what_real_peers_say_passes_byte_for_byte_with_its_descriptors(recording):
    machine = Relay()
    for role, data, fds in recording.datagrams:
        passed, *others = machine.receive(role, data, fds)
        assert (passed.to, passed.data) == (OTHER[role], data)
        assert [passed.fd] == fds or (passed.fd is None and not fds)
        assert all(type(action) in (Established, Closed) for action in others)
    assert machine.version == recording.version
    is_up = recording.first(Connected) is not None
    ended = recording.first(Disconnect) is not None
    assert machine.state == (relay.CLOSED if ended else relay.CONNECTED)
    assert is_up or ended


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_with_another_id_only_the_id_of_init_differs(recording):
    machine = Relay(given_id=0xA1B2C3D4)
    for role, data, fds in recording.datagrams:
        passed = machine.receive(role, data, fds)[0].data
        message = decode(data, recording.version)
        if type(message) is Init:
            assert decode(passed, 512).interface_id == 0xA1B2C3D4
            assert (passed[:4], passed[8:]) == (data[:4], data[8:])
            assert machine.interface_ids == {SLAVE: message.interface_id, MASTER: 0xA1B2C3D4}
        else:
            assert passed == data


def test_it_knows_who_is_joined():
    machine = relay_after(len(SCRIPT))
    assert machine.names == {SLAVE: b"slave app", MASTER: b"master app"}
    assert machine.if_names == {SLAVE: b"slave/0", MASTER: b"master/0"}
    assert (machine.version, machine.interface_ids) == (512, {SLAVE: 7, MASTER: 7})
    assert (len(machine.offer.s2m), len(machine.offer.m2s)) == (1, 1)
    assert machine.offer.regions == {0: 4096}


def test_another_id_than_the_one_that_is_taken_is_refused():
    error = refusal(relay_after(1, taken_id=3), SLAVE, INIT)
    assert (error.code, error.reason) == ("ID", "no interface with id 7")
    assert give(relay_after(1, taken_id=7), SLAVE, INIT)[0].to == MASTER


@pytest.mark.parametrize("version", [0, VERSION_1 - 1, VERSION_1 + 1, VERSION_2 + 1])
def test_a_version_that_nobody_speaks_is_refused(version):
    init = Init(version, 7, 0, b"", b"slave app")
    assert refusal(relay_after(1), SLAVE, init).code == "PROTO"


@pytest.mark.parametrize("end", [SLAVE, MASTER])
@pytest.mark.parametrize("state", STEPS)
@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: message.label)
def test_a_message_passes_only_in_its_state_and_from_its_end(state, end, message):
    machine = relay_after(STEPS[state])
    assert machine.state == state
    if (state, end, type(message)) in Relay.TRANSITIONS:
        if type(message) is not type(CONNECT):  # which needs complete rings as well
            assert give(machine, end, message)[0].to == OTHER[end]
        return
    error = refusal(machine, end, message)
    assert error.code == "PROTO"
    assert error.reason == f"{message.label} is not allowed from the {end} in state {state}"
    assert error.fds == tuple(FDS.get(type(message), []))


OFFERS = {
    "a region index above HELLO's": (AddRegion(3, 4096), "MAXREG"),
    "an S2M ring above HELLO's": (AddRing(True, 2, 0, 0, 10, 0), "MAXRING"),
    "an M2S ring above HELLO's": (AddRing(False, 1, 0, 0, 10, 0), "MAXRING"),
    "a ring of too many slots": (AddRing(True, 0, 0, 0, 15, 0), "MAX_RING"),
}


@pytest.mark.parametrize("what", OFFERS)
def test_an_offer_beyond_the_masters_limits_is_refused(what):
    machine = Relay()
    give(machine, MASTER, Hello(b"master app", 256, 512, 2, 0, 1, 14))
    for end, message in SCRIPT[1:3]:
        give(machine, end, message)
    message, code = OFFERS[what]
    assert refusal(machine, SLAVE, message).code == code


def test_connect_with_a_ring_in_no_region_is_refused():
    machine = relay_after(3)
    for message in (S2M_RING, M2S_RING):
        give(machine, SLAVE, message)
        give(machine, MASTER, Ack())
    assert "lies in region 0, which was never added" in refusal(machine, SLAVE, CONNECT).reason
    assert refusal(relay_after(3), SLAVE, CONNECT).reason == "CONNECT without any ring"


@pytest.mark.parametrize("fds", [[], ["one", "two"]])
def test_a_message_with_the_wrong_number_of_descriptors_is_refused(fds):
    error = refusal(relay_after(3), SLAVE, REGION, fds)
    assert (error.code, error.fds) == ("NO_SHMFD" if not fds else "MFMSG", tuple(fds))
    assert refusal(relay_after(0), MASTER, HELLO, ["one"]).fds == ("one",)


def test_a_refused_end_hears_why_and_the_other_hears_whose_fault_it_was():
    machine = relay_after(3)
    error = refusal(machine, MASTER, HELLO)
    reasons = told(machine.refuse(MASTER, error))
    assert reasons[MASTER] == "HELLO is not allowed from the master in state ADDING"
    assert reasons[SLAVE] == f"the relay refused the master: {reasons[MASTER]}"


def test_an_end_that_left_is_told_to_the_other_alone():
    machine = relay_after(len(SCRIPT))
    assert told(machine.left(SLAVE)) == {MASTER: "the slave behind the relay closed the connection"}
    assert machine.state == relay.CLOSED
    with pytest.raises(HandshakeMisuse):
        give(machine, MASTER, Disconnect(0, b""))


def test_both_hear_the_end_of_the_relay():
    assert told(Relay().disconnect("relay stopped")) == dict.fromkeys(OTHER, "relay stopped")


def test_a_reason_that_is_too_long_for_its_field_is_cut():
    machine = relay_after(3)
    (action,) = machine.tell(SLAVE, "x" * 200)
    assert decode(action.data, 512).reason == b"x" * 96


def test_a_secret_is_in_no_repr_of_an_action():
    machine = relay_after(1)
    actions = give(machine, SLAVE, Init(512, 7, 0, b"hush hush", b"slave app"))
    assert b"hush hush" in actions[0].data
    assert "hush" not in repr(actions)
    assert "hush" not in repr(vars(machine))


class RelayShell:
    """A relay between the shells of a real slave machine and a real master machine."""

    def __init__(self, version):
        terms = {"min_version": version, "max_version": version}
        self.relay = Relay(given_id=8)
        master = MasterHandshake(b"master app", finder(master_terms(**terms), 8))
        self.shells = {
            MASTER: MasterShell(master),
            SLAVE: SlaveShell(SlaveHandshake(slave_terms(num_s2m_rings=3, **terms))),
        }
        self.shells[MASTER].perform(master.start())

    def deliver(self):
        while any(shell.outbox for shell in self.shells.values()):
            for end, shell in self.shells.items():
                while shell.outbox:
                    for action in self.relay.receive(end, *shell.outbox.popleft()):
                        if type(action) is Pass:
                            fds = [] if action.fd is None else [action.fd]
                            self.shells[action.to].receive(action.data, fds)


@pytest.mark.parametrize("version", [VERSION_1, VERSION_2])
def test_our_two_machines_connect_through_a_relay(version):
    shell = RelayShell(version)
    shell.deliver()
    slave, master = shell.shells[SLAVE], shell.shells[MASTER]
    assert shell.relay.state == slave.machine.state == master.machine.state == "CONNECTED"
    assert slave.offered_fds == master.received_fds
    assert shell.relay.version == version
    master.perform(master.machine.disconnect("enough"))
    shell.deliver()
    assert slave.named(Closed) == [Closed(0, b"enough")]


def datagrams(messages):
    return [
        (end, encode(message, VERSION_2), len(FDS.get(type(message), [])))
        for end, message in messages
    ]


ends = st.sampled_from([SLAVE, MASTER])
any_datagram = st.one_of(
    st.sampled_from(datagrams([*SCRIPT, *((e, m) for m in ONE_OF_EACH for e in OTHER)])),
    st.tuples(ends, st.binary(max_size=200), st.integers(0, 3)),
    st.tuples(
        ends,
        st.builds(
            lambda kind, rest: bytes([kind, 0]) + rest,
            st.integers(0, 9),
            st.binary(min_size=126, max_size=126),
        ),
        st.integers(0, 3),
    ),
)


@settings(deadline=None, max_examples=400)
@given(start=st.integers(0, len(SCRIPT)), rest=st.lists(any_datagram, max_size=8))
def test_no_end_breaks_a_relay_or_makes_it_lose_a_descriptor(start, rest):
    machine = Relay()
    given_fds, came_out = Counter(), Counter()
    for number, (end, data, count) in enumerate([*datagrams(SCRIPT)[:start], *rest]):
        if machine.state == relay.CLOSED:
            break
        fds = [f"fd {number}.{i}" for i in range(count)]
        given_fds.update(fds)
        try:
            actions = machine.receive(end, data, fds)
        except ProtocolError as error:
            came_out.update(error.fds)
            assert set(told(machine.refuse(end, error))) == {SLAVE, MASTER}
        else:
            assert actions[0].to == OTHER[end]
            came_out.update(a.fd for a in actions if type(a) is Pass and a.fd is not None)
        assert came_out == given_fds


@pytest.mark.parametrize(("end", "message", "kind"), [
    (SLAVE, REGION, AddRegion), (SLAVE, S2M_RING, AddRing), (MASTER, REGION, None),
    (SLAVE, CONNECT, None), (MASTER, Ack(), None),
], ids=repr)  # fmt: skip
def test_it_knows_which_message_has_to_have_a_descriptor(end, message, kind):
    assert relay_after(3).wanted_fd(end, encode(message, 512)) is kind
    assert relay_after(2).wanted_fd(end, encode(message, 512)) is None
    assert relay_after(3).wanted_fd(end, b"short") is None
