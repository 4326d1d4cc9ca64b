# SPDX-License-Identifier: Apache-2.0
"""`memif respond` answers."""

import json
from ipaddress import IPv4Address

import pytest
from support.memif_command import ADDRESS, OTHER, interrupt, roles
from support.programs import TIMEOUT

from libmemif_py import Interface
from libmemif_py.tools.formats.icmp import answer_ip, ip_echo_request, read_ip_echo_reply


@roles
@pytest.mark.parametrize("protocol", ["256", "512"])
def test_respond_answers_ping(shell, role, protocol):
    responder = shell.side("respond", ADDRESS, "--protocol", protocol, role=OTHER[role])
    options = ["-c", 5, "-i", 0, "-s", 1472, "--json", "-S", shell.socket, "--role", role]
    ping = shell.start("ping", ADDRESS, *options)  # as master it may be done before it is found
    assert ping.wait() == 0
    result = json.loads(ping.rest())
    wanted = {"transmitted": 5, "received": 5, "duplicates": 0, "wrong": 0, "loss_percent": 0.0}
    assert result.items() >= wanted.items()
    assert result["rtt_min_ms"] <= result["rtt_avg_ms"] <= result["rtt_max_ms"]
    counts, _ = interrupt(responder)
    assert counts == "6 received, 6 answered, 0 dropped\n"


def test_ping_in_mode_ip_answers_pings_too(shell):
    ours = IPv4Address("10.0.0.1")
    with Interface(shell.socket, role="master", mode="ip") as other:
        ping = shell.side("ping", ADDRESS, "-c", 1, "-W", TIMEOUT, "--mode", "ip")
        request = other.recv(TIMEOUT)
        other.send(ip_echo_request(IPv4Address(ADDRESS), ours, 9, 1, b"are you there"))
        reply = read_ip_echo_reply(other.recv(TIMEOUT), IPv4Address(ADDRESS))
        assert (reply.source, reply.payload) == (ours, b"are you there")
        other.send(answer_ip(request, IPv4Address(ADDRESS)))
        assert ping.wait() == 0
