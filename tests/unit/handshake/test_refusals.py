# SPDX-License-Identifier: Apache-2.0
"""What breaks the rules of the protocol is refused with its code and reason."""

import pytest
from support.fakelink import finder, master_terms
from support.machines import (
    CONNECT,
    CONNECTED,
    HELLO,
    INIT,
    MACHINES_IN,
    REGION,
    S2M_RING,
    VERSIONS,
    give,
    master_after,
    refusal,
    slave_after,
    started_master,
)

from libmemif_py.control import handshake, wire
from libmemif_py.control.actions import (
    Establish,
    ProtocolError,
)
from libmemif_py.control.wire import (
    VERSION_1,
    VERSION_2,
    Ack,
    AddRegion,
    AddRing,
    Disconnect,
    Init,
)


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


@pytest.mark.parametrize(("mode", "name"), [(wire.MODE_IP, "ip"), (200, "200")])
def test_another_mode_is_refused_by_its_name(mode, name):
    error = refusal(started_master(), Init(512, 7, mode, b"", b""))
    assert error.code == "MODE"
    assert error.reason == f"mode {name}, the interface is in mode ethernet"


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
    assert machine.settings is None


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


@pytest.mark.parametrize("data", [b"", b"short", bytes(wire.MESSAGE_SIZE + 1)])
def test_no_descriptor_is_wanted_with_what_is_no_message(data):
    assert started_master().wanted_fd(data) is None
