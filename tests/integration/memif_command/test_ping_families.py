# SPDX-License-Identifier: Apache-2.0
"""`memif ping` and `respond` with IPv6, names, and hosts on the way. The kernel is a peer."""

import contextlib
import json
import shutil
from collections.abc import Iterator

import pytest
from support.builds import run
from support.memif_command import (
    ADDRESS,
    MEMIF,
    OTHER,
    ask_from_the_kernel,
    interrupt,
    namespace,
    roles,
    wait_for_words,
)
from support.programs import Program, wait_until_listening

from libmemif_py import Interface

ADDRESS_6 = "fd00::2"
MODES = {"tap": "ethernet", "tun": "ip"}
kinds = pytest.mark.parametrize("kind", ["tap", "tun"])


@roles
@pytest.mark.parametrize("mode", ["ethernet", "ip"])
def test_respond_answers_ping_over_ipv6(shell, role, mode):
    responder = shell.side("respond", ADDRESS_6, "--mode", mode, role=OTHER[role])
    options = ["-c", 5, "-i", 0, "-s", 3000, "--mode", mode, "--json", "-S", shell.socket]
    ping = shell.start("ping", ADDRESS_6, *options, "--role", role)
    assert ping.wait() == 0
    result = json.loads(ping.rest())
    assert (result["received"], result["wrong"], result["duplicates"]) == (5, 0, 0)
    count = 6 if mode == "ethernet" else 5
    assert interrupt(responder)[0] == f"{count} received, {count} answered, 0 dropped\n"


def test_ping_over_ipv6_prints_what_ping_prints(shell):
    shell.side("respond", ADDRESS_6, role="master")
    lines = shell.run("ping", ADDRESS_6, "-S", shell.socket, "-c", 1).stdout.splitlines()
    assert lines[0] == "PING fd00::2 from fd00::1: 56 data bytes"
    assert lines[1].startswith("64 bytes from fd00::2: icmp_seq=1 ttl=64 time=")
    assert "--- fd00::2 ping statistics ---" in lines


def test_ping_of_an_ipv6_address_that_nobody_has_ends_with_1(shell):
    shell.side("respond", ADDRESS_6, role="master")
    words = ["ping", "fd00::3", "-S", shell.socket, "-c", 1, "-W", 0.2]
    result = shell.run(*words, status=1)
    assert "fd00::3 does not answer neighbour discovery" in result.stderr


@contextlib.contextmanager
def kernel(shell, kind: str) -> Iterator[list[str]]:
    """The kernel of a namespace behind the memif, with 10.0.0.1 and fd00::1."""
    with namespace() as inside:
        words = [*MEMIF, "bridge", f"{shell.socket},mode={MODES[kind]}", f"{kind}:mt0"]
        with Program([*inside, *words], shell.folder / "errors") as bridge:
            wait_for_words(bridge, "bridge between")
            for address in ("10.0.0.1/24", "fd00::1/64", "fe80::1/64"):
                flags = ["nodad"] if ":" in address else []
                run([*inside, "ip", "addr", "add", address, "dev", "mt0", *flags])
            yield inside
            interrupt(bridge)


@kinds
def test_the_kernel_pings_every_address_of_respond(shell, kind):
    addresses = (ADDRESS, ADDRESS_6, "10.0.0.3", "fd00::3")
    with kernel(shell, kind) as inside:
        responder = shell.side("respond", *addresses, "--mode", MODES[kind])
        for address in addresses:
            ask_from_the_kernel(inside, address)
        _, said = interrupt(responder)
    assert "10.0.0.2, fd00::2, 10.0.0.3, fd00::3 at 02:fe:0a:00:00:02 on " in said


@kinds
@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "fe80::1"])
def test_the_kernel_answers_ping(shell, kind, address):
    with kernel(shell, kind):
        words = ("-S", shell.socket, "--mode", MODES[kind], "-c", 3, "-i", 0, "-s", 1200)
        output = shell.run("ping", address, *words).stdout
    assert f"1208 bytes from {address}: icmp_seq=3 ttl=64 time=" in output
    assert "3 packets transmitted, 3 received, 0% packet loss" in output


ERRORS = {
    ("10.9.0.2", 1): "From 10.0.0.1 icmp_seq=1 Time to live exceeded",
    ("fd09::2", 1): "From fd00::1 icmp_seq=1 Time exceeded: Hop limit",
    ("10.8.0.2", 64): "From 10.0.0.1 icmp_seq=1 Destination Net Unreachable",
    ("fd08::2", 64): "From fd00::1 icmp_seq=1 Destination unreachable: No route",
}


@contextlib.contextmanager
def router(shell, kind: str) -> Iterator[list[str]]:
    """The same, with a host behind it: 10.9.0.2 and fd09::2."""
    with kernel(shell, kind) as inside, namespace() as behind:
        for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            run([*inside, "sh", "-c", f"echo 1 > /proc/sys/net/{setting}"])
        pair = ["type", "veth", "peer", "name", "ve1", "netns", behind[-1]]
        run(["ip", "link", "add", "ve0", "netns", inside[-1], *pair])
        for where, device, number in ((inside, "ve0", 1), (behind, "ve1", 2)):
            run([*where, "ip", "link", "set", device, "up"])
            run([*where, "ip", "addr", "add", f"10.9.0.{number}/24", "dev", device])
            run([*where, "ip", "addr", "add", f"fd09::{number}/64", "dev", device, "nodad"])
        for network, gateway in (("10.0.0.0/24", "10.9.0.1"), ("fd00::/64", "fd09::1")):
            run([*behind, "ip", "route", "add", network, "via", gateway])
        yield inside


VIA = {4: ("10.0.0.1", "10.0.0.5"), 6: ("fd00::1", "fd00::5")}


def through(kind: str, address: str) -> tuple[str, ...]:
    """How to ping an address behind the router."""
    gateway, source = VIA[6 if ":" in address else 4]
    way = ("--via", gateway) if kind == "tap" else ("--from", source)
    return (*way, "--mode", MODES[kind])


@kinds
@pytest.mark.parametrize(("address", "ttl"), ERRORS)
def test_ping_shows_what_a_router_says(shell, kind, address, ttl):
    words = ("-S", shell.socket, *through(kind, address), "--ttl", ttl, "-c", 1, "-W", 60)
    with router(shell, kind):
        result = shell.run("ping", address, *words, status=1)
    assert result.stdout.splitlines()[1] == ERRORS[address, ttl]
    assert "1 packets transmitted, 0 received, +1 errors, 100% packet loss" in result.stdout


@kinds
@pytest.mark.parametrize("address", ["10.9.0.2", "fd09::2"])
def test_ping_goes_through_a_router(shell, kind, address):
    words = ("-S", shell.socket, *through(kind, address), "-c", 1, "-W", 60)
    with router(shell, kind):
        output = shell.run("ping", address, *words).stdout
    assert f"64 bytes from {address}: icmp_seq=1 ttl=63 time=" in output


def test_ping_sends_the_ttl_that_it_is_told(shell):
    with Interface(shell.socket, role="master", mode="ip") as ours:
        for address, place in ((ADDRESS, 8), (ADDRESS_6, 7)):
            ping = shell.side("ping", address, "-c", 1, "--mode", "ip", "-t", 5, "-W", 0.1)
            assert ours.recv(60)[place] == 5
            assert ping.wait() == 1


def test_a_quiet_ping_prints_the_first_line_and_the_statistics(shell):
    shell.side("respond", ADDRESS, role="master")
    lines = shell.run("ping", ADDRESS, "-S", shell.socket, "-c", 2, "-i", 0, "-q").stdout
    first, empty, title, counts, times = lines.splitlines()
    assert (first[:5], empty, title) == ("PING ", "", "--- 10.0.0.2 ping statistics ---")
    assert counts.startswith("2 packets transmitted, 2 received")
    assert times.startswith("rtt ")


@pytest.fixture
def with_hosts(tmp_path) -> list[str]:
    """What runs a command with an /etc/hosts that knows the host `both`."""
    etc = tmp_path / "etc"
    etc.mkdir()
    for name in ("nsswitch.conf", "host.conf", "ld.so.cache", "passwd", "group"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(f"/etc/{name}", etc / name)
    (etc / "hosts").write_text(f"{ADDRESS} both\n{ADDRESS_6} both\n")
    return ["unshare", "-m", "sh", "-c", f'mount --bind {etc} /etc && exec "$@"', "sh"]


def test_a_host_name_means_an_address_of_the_version_that_is_wanted(shell, with_hosts):
    responder = shell.side("respond", ADDRESS, ADDRESS_6, role="master")
    for version, address in (("-4", ADDRESS), ("-6", ADDRESS_6)):
        words = [*with_hosts, *MEMIF, "ping", version, "both", "-S", shell.socket, "-c", "1"]
        output = run(words).stdout
        assert output.startswith(f"PING both ({address}) from ")
        assert f"64 bytes from {address}: icmp_seq=1" in output
        assert "--- both ping statistics ---" in output
    run([*with_hosts, *MEMIF, "ping", "both", "-S", shell.socket, "-c", "1"])
    interrupt(responder)
    words = [*with_hosts, *MEMIF, "respond", "-6", "both", "-S", shell.socket]
    with Program(words, shell.folder / "errors") as named:
        wait_until_listening(shell.socket)
        shell.run("ping", ADDRESS_6, "-S", shell.socket, "-c", 1)
        interrupt(named)
