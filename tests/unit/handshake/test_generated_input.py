# SPDX-License-Identifier: Apache-2.0
"""Whatever a peer sends, a machine survives it and loses no descriptor."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakelink import MasterShell, SlaveShell, finder, master_terms, slave_terms
from support.machines import CONNECT, CONNECTED, FDS, MASTER_SCRIPT, ONE_OF_EACH, SLAVE_SCRIPT

from libmemif_py.control import handshake
from libmemif_py.control.actions import (
    ProtocolError,
)
from libmemif_py.control.handshake import (
    MasterHandshake,
    SlaveHandshake,
)
from libmemif_py.control.wire import (
    VERSION_2,
    Ack,
    AddRegion,
    AddRing,
    Disconnect,
    Hello,
    Init,
    encode,
)

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
