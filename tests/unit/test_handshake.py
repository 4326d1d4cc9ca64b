# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakelink import (
    FakeLink,
    MasterShell,
    SlaveShell,
    finder,
    master_terms,
    recordings,
    slave_terms,
)

from libmemif_py.control import handshake, wire
from libmemif_py.control.handshake import (
    Closed,
    Establish,
    Established,
    HandshakeMisuse,
    MasterHandshake,
    Prepare,
    ProtocolError,
    Select,
    Send,
    SlaveHandshake,
    TakeRegion,
    TakeRing,
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

VERSIONS = [VERSION_1, VERSION_2]
RECORDINGS = recordings()

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


# The tables.


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


# The master, step by step.


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
    assert select == Select(terms)
    assert sent([ack]) == [Ack()]
    assert (machine.version, machine.remote_name, machine.terms) == (512, b"slave app", terms)


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
    assert sent(machine.accept()) == [CONNECTED]
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


# What a master refuses.


def test_a_protocol_error_says_its_code_and_reason():
    assert str(ProtocolError("MODE", "mode 1")) == "MODE: mode 1"


@pytest.mark.parametrize("version", [0, 255, 257, 300, 511, 513, 0xFFFF])
def test_a_version_nobody_offered_is_refused(version):
    error = refusal(started_master(), Init(version, 7, 0, b"", b""))
    assert error.code == "PROTO"
    assert str(version) in error.reason


@pytest.mark.parametrize(("version", "other"), [VERSIONS, VERSIONS[::-1]])
def test_a_version_outside_hello_is_refused(version, other):
    machine = started_master(min_version=other, max_version=other)
    assert refusal(machine, Init(version, 7, 0, b"", b"")).code == "PROTO"


@pytest.mark.parametrize(("version", "other"), [VERSIONS, VERSIONS[::-1]])
def test_a_version_outside_the_interface_terms_is_refused(version, other):
    machine = started_master(finder(master_terms(min_version=other, max_version=other)))
    assert refusal(machine, Init(version, 7, 0, b"", b"")).code == "PROTO"


@pytest.mark.parametrize("code", ["ID", "ACCSLAVE", "ALRCONN"])
def test_a_refusal_to_find_the_interface_reaches_the_shell(code):
    def find_interface(interface_id):
        raise ProtocolError(code, f"not {interface_id}")

    error = refusal(started_master(find_interface), INIT)
    assert (error.code, error.reason) == (code, "not 7")


def test_another_mode_is_refused():
    error = refusal(started_master(), Init(512, 7, wire.MODE_IP, b"", b""))
    assert error.code == "MODE"


@pytest.mark.parametrize(
    ("secret", "code"),
    [(b"", "NOSECRET"), (b"\0word", "NOSECRET"), (b"wore", "SECRET"), (b"words", "SECRET")],
)
def test_a_secret_is_demanded_and_compared(secret, code):
    machine = started_master(finder(master_terms(secret=b"word")))
    error = refusal(machine, Init(512, 7, 0, secret, b""))
    assert error.code == code
    assert "wor" not in error.reason


def test_the_right_secret_is_accepted_with_old_bytes_behind_it():
    machine = started_master(finder(master_terms(secret=b"word")))
    give(machine, Init(512, 7, 0, b"word\0old", b""))
    assert machine.state == handshake.ADDING


def test_an_interface_without_a_secret_admits_a_peer_that_gives_one():
    machine = started_master()
    give(machine, Init(512, 7, 0, b"word", b""))
    assert machine.state == handshake.ADDING


def test_a_refused_init_selects_nothing():
    machine = started_master(finder(master_terms(secret=b"word")))
    refusal(machine, INIT)
    assert machine.terms is None


def test_a_region_index_beyond_hello_is_refused():
    give(master_after(1), AddRegion(255, 1))
    assert refusal(master_after(1), AddRegion(256, 1)).code == "MAXREG"


def test_a_region_cannot_be_added_twice():
    error = refusal(master_after(2), REGION)
    assert error.code == "PROTO"
    assert "region 0" in error.reason


@pytest.mark.parametrize("s2m", [True, False])
def test_a_ring_cannot_be_added_twice(s2m):
    error = refusal(master_after(4), AddRing(s2m, 0, 0, 0, 10, 0))
    assert error.code == "PROTO"
    assert ("S2M ring 0" if s2m else "M2S ring 0") in error.reason


@pytest.mark.parametrize(("s2m", "count"), [(True, 3), (False, 2)])
def test_rings_beyond_the_configured_number_are_refused(s2m, count):
    limits = {"num_s2m_rings": 3, "num_m2s_rings": 2}
    give(master_after(2, **limits), AddRing(s2m, count - 1, 0, 0, 10, 0))
    error = refusal(master_after(2, **limits), AddRing(s2m, count, 0, 0, 10, 0))
    assert error.code == "MAXRING"


@pytest.mark.parametrize("s2m", [True, False])
def test_rings_beyond_hello_are_refused_whatever_the_interface_allows(s2m):
    machine = started_master(num_s2m_rings=4, num_m2s_rings=2)
    give(machine, INIT)
    assert refusal(machine, AddRing(s2m, 4 if s2m else 2, 0, 0, 10, 0)).code == "MAXRING"


@pytest.mark.parametrize(("version", "log2"), [(VERSION_1, 0), (VERSION_1, 15), (VERSION_2, 15)])
def test_a_ring_size_nobody_can_use_is_refused(version, log2):
    machine = master_after(1, version)
    error = refusal(machine, AddRing(True, 0, 0, 0, log2, 0), version=version)
    assert error.code == "MAX_RING"
    assert str(log2) in error.reason


@pytest.mark.parametrize(
    ("version", "log2"), [(VERSION_1, 1), (VERSION_1, 14), (VERSION_2, 0), (VERSION_2, 14)]
)
def test_every_ring_size_in_between_is_accepted(version, log2):
    give(master_after(1, version), AddRing(True, 0, 0, 0, log2, 0), version=version)


def test_private_headers_are_refused():
    error = refusal(master_after(1), AddRing(True, 0, 0, 0, 10, 4))
    assert error.code == "PRIVHDR"


def test_a_connection_without_rings_is_refused():
    error = refusal(master_after(2), CONNECT)
    assert error.code == "PROTO"
    assert "ring" in error.reason


@pytest.mark.parametrize("s2m", [True, False])
def test_rings_of_one_direction_only_are_enough(s2m):
    machine = master_after(2)
    give(machine, AddRing(s2m, 0, 0, 0, 10, 0))
    assert give(machine, CONNECT) == [Establish()]


@pytest.mark.parametrize(("s2m", "direction"), [(True, "S2M"), (False, "M2S")])
def test_a_gap_between_rings_is_refused_at_connect(s2m, direction):
    machine = master_after(4)
    give(machine, AddRing(s2m, 2, 0, 0, 10, 0))
    error = refusal(machine, CONNECT)
    assert error.code == "PROTO"
    assert f"{direction} ring 1" in error.reason


@pytest.mark.parametrize("s2m", [True, False])
def test_a_ring_in_a_region_never_added_is_refused_at_connect(s2m):
    machine = master_after(4)
    give(machine, AddRing(s2m, 1, 9, 0, 10, 0))
    error = refusal(machine, CONNECT)
    assert error.code == "PROTO"
    assert "region 9" in error.reason


# Descriptors.


@pytest.mark.parametrize(
    ("message", "code"), [(REGION, "NO_SHMFD"), (S2M_RING, "NO_INTFD")], ids=["region", "ring"]
)
def test_a_missing_descriptor_is_refused(message, code):
    assert refusal(master_after(1), message, []).code == code


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, INIT), (1, REGION), (1, S2M_RING), (4, CONNECT), (4, Disconnect(0, b""))],
    ids=["INIT", "ADD_REGION", "ADD_RING", "CONNECT", "DISCONNECT"],
)
def test_more_descriptors_than_belong_to_a_message_come_back_in_the_error(count, message):
    error = refusal(master_after(count), message, ["one", "two"])
    assert error.code == "MFMSG"
    assert error.fds == ("one", "two")


@pytest.mark.parametrize(("count", "message"), [(0, HELLO), (1, Ack()), (5, CONNECTED)])
def test_a_slave_takes_no_descriptors_at_all(count, message):
    error = refusal(slave_after(count), message, ["one"])
    assert error.code == "MFMSG"
    assert error.fds == ("one",)


def test_the_descriptor_of_a_refused_message_comes_back_in_the_error():
    assert refusal(master_after(2), REGION, ["memfd"]).fds == ("memfd",)
    assert refusal(master_after(0), REGION, ["memfd"]).fds == ("memfd",)


# Bytes that are no message.


@pytest.mark.parametrize(("state", "make"), MACHINES_IN)
@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "MFMSG"), (bytes(127), "MFMSG"), (bytes(129), "MFMSG"), (bytes(128), "UNKNOWN_MSG")],
    ids=["empty", "short", "long", "unknown"],
)
def test_bytes_that_are_no_message_are_refused(state, make, data, code):
    machine = make()
    with pytest.raises(ProtocolError) as caught:
        machine.receive(data, ["stray"])
    assert caught.value.code == code
    assert caught.value.fds == ("stray",)
    assert machine.state == handshake.CLOSED


# The slave, step by step.


def test_a_slave_prepares_before_it_asks():
    machine = slave_after(0)
    prepare, init = give(machine, HELLO)
    assert prepare == Prepare(512, 1, 1, 10, 255)
    assert sent([init]) == [Init(512, 7, 0, bytes(24), b"slave app")]
    assert (machine.version, machine.remote_name) == (512, b"master app")


def hello(**changes):
    fields = {field: getattr(HELLO, field) for field in Hello.__slots__}
    return Hello(**{**fields, **changes})


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
    prepare, _init = give(machine, hello(min_version=theirs[0], max_version=theirs[1]))
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
    prepare, _init = give(machine, hello(max_s2m_ring=3, max_m2s_ring=4))
    assert (prepare.num_s2m, prepare.num_m2s) == (4, 5)


def test_the_slave_offers_no_larger_rings_than_hello_allows():
    prepare, _init = give(slave_after(0), hello(max_log2_ring_size=8))
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
    prepare, _init = give(slave_after(0), hello(max_region=theirs))
    assert prepare.max_region == told


def test_more_regions_than_allowed_are_refused_by_the_machine():
    machine = slave_after(0)
    give(machine, hello(max_region=1))
    rings = [(0, 0, "e")]
    with pytest.raises(ProtocolError) as caught:
        machine.offer(regions=[(1, "a"), (1, "b"), (1, "c")], s2m=rings, m2s=rings)
    assert caught.value.code == "MAXREG"
    assert caught.value.reason == "3 regions needed, peer allows 2"
    assert machine.state == handshake.CLOSED


def test_as_many_regions_as_allowed_may_be_offered():
    machine = slave_after(0)
    give(machine, hello(max_region=1))
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
    assert give(machine, CONNECTED) == [Established(b"master/0")]
    assert machine.remote_if_name == b"master/0"


# The ends.


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


# Local misuse.


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


@pytest.mark.parametrize("state", [state for state in SLAVE_IN if state != handshake.INIT_SENT])
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
    machine = slave_after(0)
    give(machine, HELLO)
    with pytest.raises(HandshakeMisuse):
        machine.offer(regions=[(1, "a")], s2m=s2m, m2s=m2s)


def test_an_ack_before_the_offer_is_misuse():
    machine = slave_after(0)
    give(machine, HELLO)
    with pytest.raises(HandshakeMisuse):
        give(machine, Ack())


# Secrets.


def test_no_action_shows_a_secret():
    slave = SlaveHandshake(slave_terms(secret=b"hush"))
    master = started_master(finder(master_terms(secret=b"hush")))
    actions = give(slave, HELLO)
    assert b"hush" in actions[1].data
    answer = master.receive(actions[1].data)
    assert "hush" not in repr([*actions, *answer])


# Both machines, joined.

RING_COUNTS = [(1, 1), (1, 4), (4, 1), (3, 2), (255, 255), (0, 1), (1, 0), (256, 256)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("num_s2m", "num_m2s"), RING_COUNTS)
def test_any_number_of_rings_connects_in_either_version(version, num_s2m, num_m2s):
    link = FakeLink.between(
        master_terms(num_s2m_rings=256, num_m2s_rings=256),
        slave_terms(num_s2m_rings=num_s2m, num_m2s_rings=num_m2s, max_version=version),
        regions=(1 << 20, 1 << 30),
    ).connect()
    master, slave = link.master.machine, link.slave.machine
    assert (master.state, slave.state) == (handshake.CONNECTED, handshake.CONNECTED)
    assert (master.version, slave.version) == (version, version)
    assert (list(master.s2m), list(master.m2s)) == (list(range(num_s2m)), list(range(num_m2s)))
    assert link.master.received_fds == link.slave.offered_fds
    assert len(link.slave.offered_fds) == 2 + num_s2m + num_m2s


@pytest.mark.parametrize("version", VERSIONS)
def test_each_side_learns_the_names_of_the_other(version):
    link = FakeLink.between(master_terms(max_version=version), slave_terms(max_version=version))
    link.connect()
    master, slave = link.master.machine, link.slave.machine
    assert (master.remote_name, master.remote_if_name) == (b"slave app", b"slave/0")
    assert (slave.remote_name, slave.remote_if_name) == (b"master app", b"master/0")


@pytest.mark.parametrize("role", ["master", "slave"])
def test_either_side_ends_an_established_connection(role):
    link = FakeLink.between(master_terms(), slave_terms()).connect()
    side, other = (link.master, link.slave) if role == "master" else (link.slave, link.master)
    side.perform(side.machine.disconnect(b"enough"))
    link.deliver()
    assert other.named(Closed) == [Closed(0, b"enough")]


@pytest.mark.parametrize(
    ("master", "slave", "code"),
    [
        ({"mode": wire.MODE_IP}, {}, "MODE"),
        ({"secret": b"right"}, {"secret": b"wrong"}, "SECRET"),
        ({"secret": b"right"}, {}, "NOSECRET"),
        ({}, {"interface_id": 8}, "ID"),
        ({"min_version": 512}, {"max_version": 256}, "PROTO"),
        ({"num_s2m_rings": 2}, {"num_s2m_rings": 3}, "MAXRING"),
        ({"num_m2s_rings": 2}, {"num_m2s_rings": 3}, "MAXRING"),
    ],
    ids=["mode", "secret", "no secret", "id", "version", "S2M rings", "M2S rings"],
)
def test_a_refused_slave_is_told_why(master, slave, code):
    link = FakeLink.between(master_terms(**master), slave_terms(**slave)).connect()
    assert link.master.error.code == code
    assert link.slave.named(Closed) == [Closed(0, link.master.error.reason.encode())]
    offered_until_then = link.slave.offered_fds[: len(link.master.received_fds)]
    assert link.master.received_fds == offered_until_then


def test_a_slave_without_a_common_version_tells_the_master():
    link = FakeLink.between(master_terms(), slave_terms(min_version=600, max_version=700))
    link.connect()
    assert link.master.named(Closed) == [Closed(0, link.slave.error.reason.encode())]


@settings(deadline=None)
@given(
    counts=st.tuples(st.integers(0, 40), st.integers(0, 40)).filter(any),
    regions=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6),
    log2=st.integers(1, 14),
    secret=st.binary(max_size=24),
    version=st.sampled_from(VERSIONS),
)
def test_whatever_a_slave_offers_within_the_limits_arrives(counts, regions, log2, secret, version):
    link = FakeLink.between(
        master_terms(secret=secret),
        slave_terms(
            num_s2m_rings=counts[0],
            num_m2s_rings=counts[1],
            log2_ring_size=log2,
            secret=secret,
            max_version=version,
        ),
        regions=tuple(regions),
    ).connect()
    master = link.master.machine
    assert master.state == link.slave.machine.state == handshake.CONNECTED
    assert master.regions == dict(enumerate(regions))
    rings = [message for message in link.slave.sent if type(message) is AddRing]
    assert [*master.s2m.values(), *master.m2s.values()] == rings
    assert (len(master.s2m), len(master.m2s)) == counts
    assert {ring.log2_ring_size for ring in rings} == {log2}


# Arbitrary peers.

small = st.integers(0, 3)
any_u16 = st.sampled_from([0, 1, 2, 255, 256, 257, 512, 0xFFFF])
any_message = st.one_of(
    st.just(Ack()),
    st.builds(
        Hello,
        st.just(b"m"),
        any_u16,
        any_u16,
        any_u16,
        any_u16,
        any_u16,
        st.sampled_from([0, 1, 10, 14, 255]),
    ),
    st.builds(Init, any_u16, st.sampled_from([7, 8]), small, st.binary(max_size=24), st.just(b"")),
    st.builds(AddRegion, small | any_u16, st.integers(0, 2**64 - 1)),
    st.builds(
        AddRing,
        st.booleans(),
        small | any_u16,
        small,
        st.integers(0, 2**32 - 1),
        st.sampled_from([0, 1, 10, 14, 15, 255]),
        st.sampled_from([0, 0, 0, 4]),
    ),
    st.just(CONNECT),
    st.just(CONNECTED),
    st.builds(Disconnect, st.integers(0, 2**32 - 1), st.binary(max_size=96)),
)


def good_datagrams(script):
    return [(encode(message, VERSION_2), len(FDS.get(type(message), []))) for message in script]


any_datagram = st.one_of(
    st.sampled_from(good_datagrams([*ONE_OF_EACH, *MASTER_SCRIPT])),
    st.tuples(any_message.map(lambda message: encode(message, VERSION_2)), small),
    st.tuples(st.binary(max_size=200) | st.binary(min_size=128, max_size=128), small),
)


@st.composite
def nearly_good(draw, script):
    """A good conversation in which a few datagrams are lost, repeated or put in between."""
    datagrams = good_datagrams(script)
    for position, what in draw(
        st.lists(st.tuples(st.integers(0, 9), st.none() | st.just("again") | any_datagram))
    ):
        place = position % (len(datagrams) + 1)
        if what is None:
            del datagrams[place : place + 1]
        else:
            datagrams[place:place] = datagrams[place : place + 1] if what == "again" else [what]
    return datagrams


def conversation(script):
    return nearly_good(script) | st.lists(any_datagram, max_size=12)


def survives(shell, datagrams):
    """Give each datagram with fresh descriptors; each of them must come out exactly once."""
    given_fds = []
    for number, (data, count) in enumerate(datagrams):
        if shell.machine.state == handshake.CLOSED:
            break
        fds = [f"fd {number}.{i}" for i in range(count)]
        given_fds += fds
        shell.receive(data, fds)
        assert Counter(shell.received_fds) == Counter(given_fds)
        assert (shell.error is None) or shell.machine.state == handshake.CLOSED


@settings(deadline=None, max_examples=400)
@given(
    datagrams=conversation(MASTER_SCRIPT),
    maps=st.booleans(),
    terms=st.builds(
        master_terms, secret=st.sampled_from([b"", b"\1"]), num_s2m_rings=st.integers(1, 256)
    ),
)
def test_no_peer_breaks_a_master_or_makes_it_lose_a_descriptor(datagrams, maps, terms):
    shell = MasterShell(MasterHandshake(b"master app", finder(terms)))
    shell.perform(shell.machine.start())
    if not maps:
        shell.do_establish = lambda _action: shell.refused(ProtocolError("COOKIE", "wrong"))
    survives(shell, datagrams)


@settings(deadline=None, max_examples=400)
@given(datagrams=conversation(SLAVE_SCRIPT))
def test_no_peer_breaks_a_slave_or_makes_it_lose_a_descriptor(datagrams):
    survives(SlaveShell(SlaveHandshake(slave_terms())), datagrams)


# Real peers.

UP = [recording for recording in RECORDINGS if recording.first(Connected)]
REFUSED = [recording for recording in RECORDINGS if not recording.first(Connected)]


def labels(messages):
    return [message.label for message in messages if type(message) is not Disconnect]


def replayed_to_master(recording):
    terms = recording.master_terms()
    find = finder(terms, recording.first(Init).interface_id)
    shell = MasterShell(MasterHandshake(b"master app", find))
    shell.perform(shell.machine.start())
    for data, fds in recording.sent_by("slave"):
        if not shell.receive(data, fds):
            break
    return shell


def replayed_to_slave(recording):
    shell = recording.slave_shell()
    for data, fds in recording.sent_by("master"):
        shell.receive(data, fds)
    return shell


def test_the_recordings_hold_accepted_and_refused_connections():
    assert len(UP) == 8
    assert [recording.name for recording in REFUSED] == ["vpp-slave-wrong-secret--vpp-master"]


@pytest.mark.parametrize("recording", UP, ids=lambda recording: recording.name)
def test_a_real_slave_is_accepted_and_answered_as_by_its_real_master(recording):
    shell = replayed_to_master(recording)
    assert shell.error is None
    assert labels(shell.sent) == labels(recording.messages("master"))
    assert type(shell.sent[-1]) is Connected
    assert shell.machine.remote_if_name == recording.first(Connect).if_name
    sent_fds = [fd for _data, fds in recording.sent_by("slave") for fd in fds]
    assert shell.received_fds == sent_fds


@pytest.mark.parametrize("recording", UP, ids=lambda recording: recording.name)
def test_a_real_master_hears_from_our_slave_what_its_real_slave_said(recording):
    shell = replayed_to_slave(recording)
    assert shell.machine.state == handshake.CONNECTED
    assert shell.named(Established) == [Established(recording.first(Connected).if_name)]
    said = [message for message in recording.messages("slave") if type(message) is not Disconnect]
    assert shell.sent == said


def test_a_real_slave_that_disconnects_closes_our_master():
    recording = next(r for r in UP if r.name == "libmemif1-slave--libmemif1-master")
    shell = replayed_to_master(recording)
    assert shell.named(Closed) == [Closed(0, b"interface deleted")]


@pytest.mark.parametrize("recording", REFUSED, ids=lambda recording: recording.name)
def test_a_real_slave_with_a_wrong_secret_is_refused(recording):
    terms = recording.master_terms()
    terms.secret = b"right"
    find = finder(terms, recording.first(Init).interface_id)
    machine = started_master(find)
    with pytest.raises(ProtocolError) as caught:
        machine.receive(*recording.sent_by("slave")[0])
    assert caught.value.code == "SECRET"
    assert sent(machine.refuse(caught.value)) == recording.messages("master")[1:]


@pytest.mark.parametrize("recording", REFUSED, ids=lambda recording: recording.name)
def test_a_refusal_by_a_real_master_closes_our_slave_with_its_reason(recording):
    shell = replayed_to_slave(recording)
    assert shell.named(Closed) == [Closed(0, b"incorrect secret")]
