# SPDX-License-Identifier: Apache-2.0
"""`memif bridge` joins two hosts, which are network namespaces here, through the kernel's VXLAN."""

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from support.builds import run
from support.memif_command import (
    ADDRESS,
    MEMIF,
    ask_from_the_kernel,
    interrupt,
    namespace,
    wait_for_words,
)
from support.programs import TIMEOUT, Program

from libmemif_py import Interface

ENDS = {4: ("10.1.0.1", "10.1.0.2"), 6: ("fd01::1", "fd01::2")}
versions = pytest.mark.parametrize("version", ENDS)


@pytest.fixture
def hosts() -> Iterator[list[list[str]]]:
    """What runs a command on each of two hosts, which a cable joins: `eth1` of each."""
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(namespace()) for _ in range(2)]
        names = [inside[-1] for inside in hosts]
        words = ["type", "veth", "peer", "name", "eth1", "netns", names[1]]
        run(["ip", "link", "add", "eth1", "netns", names[0], *words])
        for number, inside in enumerate(hosts):
            run([*inside, "ip", "link", "set", "eth1", "up"])
            for ends in ENDS.values():
                flags = ["nodad"] if ":" in ends[number] else []
                address = f"{ends[number]}/{64 if flags else 24}"
                run([*inside, "ip", "addr", "add", address, "dev", "eth1", *flags])
        yield hosts


def vxlan(number: int, version: int = 4, more: str = "") -> str:
    """What the host of this number is told."""
    return f"vxlan:5,remote={ENDS[version][1 - number]},dev=eth1{more}"


class Hosts:
    """A bridge on each host, from a memif to the other."""

    def __init__(self, shell, hosts: list[list[str]], stack: contextlib.ExitStack):
        self._shell = shell
        self._hosts = hosts
        self._stack = stack
        self.sockets = [str(shell.folder / f"{name}.sock") for name in "ab"]

    def bridge(self, number: int, word: str, *words: str, port: str | None = None) -> Program:
        command = [*self._hosts[number], *MEMIF, "bridge", port or self.sockets[number], word]
        errors = self._shell.folder / f"errors of {number} {len(os.listdir(self._shell.folder))}"
        bridge = self._stack.enter_context(Program([*command, *words], errors))
        wait_for_words(bridge, "bridge between")
        return bridge

    def devices(self, number: int) -> list[str]:
        found = json.loads(run([*self._hosts[number], "ip", "-json", "link"]).stdout)
        return [device["ifname"] for device in found if device["ifname"].startswith("memifvx")]


@pytest.fixture
def net(shell, hosts) -> Iterator[Hosts]:
    with contextlib.ExitStack() as stack:
        yield Hosts(shell, hosts, stack)


@versions
def test_one_command_on_each_of_two_hosts_joins_their_memifs(shell, net, version):
    bridges = [net.bridge(number, vxlan(number, version)) for number in (0, 1)]
    fits = {4: 1450, 6: 1430}[version]
    assert f"IP packets of up to {fits} bytes fit" in bridges[0].errors
    assert net.devices(0) == net.devices(1) == ["memifvx5"]
    responder = shell.start("respond", ADDRESS, "fd00::2", "-S", net.sockets[1], "--role", "slave")
    for address, headers in ((ADDRESS, 28), ("fd00::2", 48)):
        words = ("-S", net.sockets[0], "-c", 5, "-i", 0, "-s", fits - headers)
        output = shell.run("ping", address, *words).stdout
        assert "5 packets transmitted, 5 received, 0% packet loss" in output
    interrupt(responder)
    for bridge in bridges:
        interrupt(bridge)
    assert net.devices(0) == net.devices(1) == []


@versions
def test_nothing_but_what_the_bridges_carry_passes(net, version):
    """The kernel sends nothing of its own through the device, such as a router solicitation."""
    bridges = [net.bridge(number, vxlan(number, version), "--json") for number in (0, 1)]
    with Interface(net.sockets[0]) as left, Interface(net.sockets[1]) as right:
        for bridge in bridges:
            wait_for_words(bridge, "connected to")
        frames = [bytes.fromhex("02000000000102000000000288b5") + bytes([n] * 46) for n in range(9)]
        for frame in frames:
            left.send(frame, TIMEOUT)
            assert right.recv(TIMEOUT) == frame
            right.send(frame, TIMEOUT)
            assert left.recv(TIMEOUT) == frame
    for bridge in bridges:
        assert [port["received"] for port in json.loads(interrupt(bridge)[0])] == [9, 9]


def test_what_does_not_fit_is_dropped_and_counted(net):
    more = ",mtu=1000,port=4000,local="
    bridges = [net.bridge(n, vxlan(n, 4, more + ENDS[4][n]), "--json") for n in (0, 1)]
    for bridge in bridges:
        assert "memifvx5 to 10.1.0." in bridge.errors
        assert ":4000 over eth1; IP packets of up to 1000 bytes fit" in bridge.errors
    with Interface(net.sockets[0]) as left, Interface(net.sockets[1]) as right:
        for bridge in bridges:
            wait_for_words(bridge, "connected to")
        frame = bytes.fromhex("02000000000102000000000288b5") + bytes(1000)
        left.send(frame + b"x", TIMEOUT)
        left.send(frame, TIMEOUT)
        assert right.recv(TIMEOUT) == frame
        right.send(frame, TIMEOUT)
        assert left.recv(TIMEOUT) == frame  # by now the first bridge has counted
    assert json.loads(interrupt(bridges[0])[0])[1]["dropped"] == 1


def test_the_kernels_of_two_hosts_ping_each_other_through_both_bridges(net, hosts):
    for number in (0, 1):
        net.bridge(number, vxlan(number), port="tap:mt0")
        for address in (f"10.7.0.{number + 1}/24", f"fd07::{number + 1}/64"):
            flags = ["nodad"] if ":" in address else []
            run([*hosts[number], "ip", "addr", "add", address, "dev", "mt0", *flags])
    for address in ("10.7.0.2", "fd07::2"):
        ask_from_the_kernel(hosts[0], address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_device_goes_with_the_command(net, number):
    bridge = net.bridge(0, vxlan(0))
    assert net.devices(0) == ["memifvx5"]
    bridge.send_signal(number)
    assert bridge.wait() == 128 + number
    assert net.devices(0) == []


def test_what_a_killed_bridge_left_is_removed_or_named(net, hosts):
    for word in (vxlan(0), f"vxlan:{2**24 - 1},remote={ENDS[4][1]},dev=eth1"):
        bridge = net.bridge(0, word)
        bridge.send_signal(signal.SIGKILL)
        bridge.wait()
    assert net.devices(0) == ["memifvx5", "memifvx16777215"]
    bridge = net.bridge(0, vxlan(0))
    assert "removed memifvx5, which a bridge that was killed had left" in bridge.errors
    assert (
        "memifvx16777215 is left over from a bridge that was killed: "
        "`ip link delete memifvx16777215` removes it"
    ) in bridge.errors
    again = net.bridge(0, f"vxlan:6,remote={ENDS[4][1]},dev=eth1", port=f"{net.sockets[1]},id=1")
    assert "memifvx5" not in again.errors
    interrupt(bridge)
    interrupt(again)
    assert net.devices(0) == ["memifvx16777215"]


def test_a_bridge_ends_with_its_vxlan_device_and_names_it(net, hosts):
    bridge = net.bridge(0, vxlan(0))
    run([*hosts[0], "ip", "link", "delete", "memifvx5"])
    assert bridge.wait() == 1
    assert f"memif: {vxlan(0)}: the VXLAN device was deleted\n" in bridge.errors


def test_a_cable_that_was_unplugged_is_used_again(shell, net, hosts):
    bridges = [net.bridge(number, vxlan(number)) for number in (0, 1)]
    responder = shell.start("respond", ADDRESS, "-S", net.sockets[1], "--role", "slave")
    ping = ("ping", ADDRESS, "-S", net.sockets[0], "-c", 1, "-W")
    shell.run(*ping, TIMEOUT)
    run([*hosts[0], "ip", "link", "set", "eth1", "down"])
    shell.run(*ping, 0.2, status=1)
    run([*hosts[0], "ip", "link", "set", "eth1", "up"])
    shell.run(*ping, TIMEOUT)  # it asks by ARP once a second
    for program in (responder, *bridges):
        interrupt(program)


def test_the_device_below_may_go_and_the_bridge_says_so(net, hosts):
    bridge = net.bridge(0, vxlan(0))
    run([*hosts[0], "ip", "link", "delete", "eth1"])
    assert bridge.wait() == 1
    assert f"memif: {vxlan(0)}: the VXLAN device was deleted\n" in bridge.errors


def refused(shell, inside: list[str], word: str) -> str:
    result = run([*inside, *MEMIF, "bridge", str(shell.folder / "x.sock"), word], status=1)
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


def test_what_cannot_be_made_is_refused_with_the_reason(shell, net, hosts):
    here = hosts[0]
    said = refused(shell, here, "vxlan:5,remote=10.1.0.2,dev=eth9")
    assert said.endswith("there is no network interface eth9, expected one of: lo, eth1")
    said = refused(shell, here, vxlan(0, more=",mtu=1451"))
    assert said.endswith(
        "mtu 1451, expected at most 1450: eth1 has an MTU of 1500, less 50 bytes of headers"
    )
    said = refused(shell, here, vxlan(0, more=",local=10.1.0.9"))
    assert said.endswith("local 10.1.0.9: Cannot assign requested address")
    run([*here, "ip", "link", "add", "memifvx5", "type", "veth", "peer", "name", "other"])
    assert refused(shell, here, vxlan(0)).endswith("memifvx5 exists, and is no VXLAN device")
    run([*here, "ip", "link", "delete", "memifvx5"])
    words = ["type", "vxlan", "id", "5", "remote", "10.1.0.9", "dev", "eth1", "dstport", "4789"]
    run([*here, "ip", "link", "add", "mine", *words])
    assert "A VXLAN device with the specified VNI already exists" in refused(shell, here, vxlan(0))
    run([*here, "ip", "link", "delete", "mine"])
    net.bridge(0, vxlan(0))
    said = refused(shell, here, vxlan(0, more=",port=4000"))
    assert said.endswith("another bridge has ID 5 on this host, use another ID")
    assert net.devices(0) == ["memifvx5"]


def test_who_may_not_make_a_device_is_told_what_is_needed(shell, hosts):
    powerless = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    said = refused(shell, [*hosts[0], *powerless], vxlan(0))
    assert "ip: RTNETLINK answers: Operation not permitted, " in said
    assert said.endswith("needs root or CAP_NET_ADMIN and CAP_NET_RAW")
    assert "memifvx5" not in run([*hosts[0], "ip", "link"]).stdout


def test_a_machine_without_the_program_ip_is_told_how_to_get_it(shell):
    without = {**os.environ, "PATH": str(shell.folder)}
    words = [shutil.which("unshare"), "-n", *MEMIF, "bridge", str(shell.folder / "x.sock")]
    result = run([*words, "vxlan:5,remote=10.1.0.2,dev=lo"], status=1, env=without)
    assert result.stderr.splitlines()[-1].endswith("needs the program ip: apt-get install iproute2")


GRO = """
import array, fcntl, socket, struct, sys
value = array.array("I", [int(sys.argv[2], 0), int(sys.argv[3])])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(sock, 0x8946, struct.pack("16sP16x", sys.argv[1].encode(), value.buffer_info()[0]))
print(value[1])
"""
GET, SET = "0x2b", "0x2c"


def test_packets_are_not_joined_on_their_way(net, hosts):
    """A packet socket would get several as one, longer than any MTU."""
    python = [*hosts[0], MEMIF[0], "-P", "-c", GRO]
    bridge = net.bridge(0, vxlan(0))
    assert run([*python, "memifvx5", GET, "0"]).stdout == "0\n"
    assert "gro off" not in bridge.errors
    interrupt(bridge)
    run([*python, "eth1", SET, "1"])
    bridge = net.bridge(0, vxlan(0))
    assert "eth1 joins TCP packets that it receives" in bridge.errors
    assert "`ethtool -K eth1 gro off`" in bridge.errors
