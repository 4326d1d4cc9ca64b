# SPDX-License-Identifier: Apache-2.0
"""Both machines, joined by a link: whatever is within the limits connects."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakelink import FakeLink, master_terms, slave_terms
from support.machines import VERSIONS

from libmemif_py.control import handshake, wire
from libmemif_py.control.actions import (
    Closed,
)
from libmemif_py.control.wire import (
    AddRing,
)

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
