# SPDX-License-Identifier: Apache-2.0
"""What proofs/handshake claims holds, and a fault in the machines is found."""

import re

import pytest
from handshake import claims, protocol
from handshake import enumerate as command
from handshake.faults import FAULTS
from handshake.proof import PARTS, prove
from handshake.rules import Change, ChangeError, Rules

CLAIMS = {text for name, text in vars(claims).items() if name.isupper() and isinstance(text, str)}


def test_all_claims_hold_in_every_state(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["enumerate.py"])
    status = command.main()
    said = capsys.readouterr()
    assert (status, said.err) == (0, "")
    *parts, last = said.out.splitlines()
    assert [part.partition(":")[0] for part in parts] == list(PARTS)
    assert re.fullmatch(
        r"handshake: \d+ states, \d+ transitions, depth \d+: all claims hold", last
    ), last


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_breaks_its_claim(name, monkeypatch):
    fault = FAULTS[name]
    monkeypatch.setattr(protocol, "ALLOWED", protocol.ALLOWED ^ fault.agreed)
    with pytest.raises(claims.ClaimError) as caught:
        PARTS[fault.part](Rules([fault.change]), full=False)
    assert caught.value.claim == fault.claim, caught.value


def test_each_claim_is_broken_by_a_fault():
    assert {fault.claim for fault in FAULTS.values()} == CLAIMS


def test_each_part_finds_a_fault():
    assert {fault.part for fault in FAULTS.values()} == set(PARTS)


@pytest.mark.parametrize("old", ["text that no source has", "def "], ids=["never", "often"])
def test_a_change_of_text_that_is_not_there_once_is_an_error(old):
    with pytest.raises(ChangeError, match="expected once"):
        Rules([Change("handshake", old, "")])


def test_a_message_that_the_reference_does_not_know_is_named():
    rules = Rules([Change("wire", 'label = "CONNECTED"', 'label = "LINKED"')])
    with pytest.raises(claims.ClaimError, match="LINKED"):
        prove(rules, full=False, say=print)


def test_the_command_shows_the_shortest_way_to_a_fault(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["enumerate.py"])
    change = FAULTS["CONNECT without a ring"].change
    monkeypatch.setattr(command, "Rules", lambda: Rules([change]))
    assert command.main() == 1
    said = capsys.readouterr().err
    steps = re.findall(r"^  \d\. (\w+)", said, re.M)
    assert claims.CONFORMS in said
    assert steps == ["start", "INIT", "CONNECT"]
