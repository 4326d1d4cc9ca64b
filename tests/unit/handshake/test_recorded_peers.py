# SPDX-License-Identifier: Apache-2.0
"""What real programs sent is accepted, and answered as their real peers answered."""

import pytest
from support.fakelink import MasterShell, finder, recordings
from support.machines import sent, started_master

from libmemif_py.control import handshake
from libmemif_py.control.actions import (
    Closed,
    Established,
    ProtocolError,
)
from libmemif_py.control.handshake import (
    MasterHandshake,
)
from libmemif_py.control.wire import (
    Connect,
    Connected,
    Disconnect,
    Init,
)

RECORDINGS = recordings()
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
    assert shell.named(Established) == [Established()]
    assert shell.machine.remote_if_name == recording.first(Connected).if_name
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
