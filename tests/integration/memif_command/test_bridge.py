# SPDX-License-Identifier: Apache-2.0
"""`memif bridge` joins interfaces with each other and with the kernel."""

import contextlib
import json
from collections.abc import Iterator

import pytest
from support.builds import run
from support.memif_command import (
    ADDRESS,
    MEMIF,
    ask_from_the_kernel,
    capture,
    interrupt,
    namespace,
    packets,
    wait_for_words,
)
from support.programs import TIMEOUT, Program, wait_until_listening

from libmemif_py import Interface


def test_a_bridge_joins_two_slaves_and_records(shell):
    record = shell.folder / "record.pcapng"
    sockets = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    bridge = shell.start("bridge", *sockets, "-w", record)
    for path in sockets:
        wait_until_listening(path)
    responder = shell.start("respond", ADDRESS, "-S", sockets[0], "--role", "slave")
    words = ("-c", 20, "-i", 0, "-s", 3000, "--json")
    ping = json.loads(shell.run("ping", ADDRESS, "-S", sockets[1], *words).stdout)
    assert ping["received"] == 20
    interrupt(responder)
    output, _ = interrupt(bridge)
    assert "Traceback" not in output
    # ARP may have been asked more than once while the responder came.
    assert [len(frame) for frame in capture(record)][-40:] == [3042] * 40


def test_a_bridge_passes_every_byte_on_queues_of_their_own(shell):
    frames = packets(2000, most=4000)
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    bridge = shell.start("bridge", f"{paths[0]},queues=2", f"{paths[1]},queues=2")
    for path in paths:
        wait_until_listening(path)
    with (
        Interface(paths[0], s2m_rings=2, m2s_rings=2) as left,
        Interface(paths[1], s2m_rings=2, m2s_rings=2) as right,
    ):
        wait_for_words(bridge, "connected to", times=2)  # our ends are, before those of the bridge
        for number, frame in enumerate(frames):
            left.send(frame, TIMEOUT, queue=number % 2)
            assert right.recv(TIMEOUT, queue=number % 2) == frame
            right.send(frame, TIMEOUT, queue=number % 2)
            assert left.recv(TIMEOUT, queue=number % 2) == frame
    output, _ = interrupt(bridge)
    assert output.count("2000 received, 2000 sent, 0 dropped") == 2


def test_the_kernel_pings_through_a_tap(shell):
    with namespace() as inside:
        words = [*MEMIF, "bridge", shell.socket, "tap:mt0"]
        with Program([*inside, *words], shell.folder / "errors") as bridge:
            wait_until_listening(shell.socket)
            run([*inside, "ip", "addr", "add", "10.0.0.1/24", "dev", "mt0"])
            responder = shell.side("respond", ADDRESS)
            ask_from_the_kernel(inside, ADDRESS)
            interrupt(responder)
            interrupt(bridge)
        assert run([*inside, "ip", "link", "show", "mt0"], status=None).returncode == 1


@contextlib.contextmanager
def veth() -> Iterator[list[str]]:
    """A namespace with two network interfaces, ve0 and ve1, that are joined by a cable."""
    with namespace() as inside:
        pair = ["ip", "link", "add", "ve0", "type", "veth", "peer", "name", "ve1"]
        run([*inside, *pair])
        for name in ("ve0", "ve1"):
            run([*inside, "ip", "link", "set", name, "up"])
        yield inside


def test_the_kernel_pings_through_a_network_interface(shell):
    with veth() as inside:
        run([*inside, "ip", "addr", "add", "10.0.0.1/24", "dev", "ve0"])
        words = [*MEMIF, "bridge", shell.socket, "if:ve1", "--json"]
        with Program([*inside, *words], shell.folder / "errors") as bridge:
            wait_until_listening(shell.socket)
            responder = shell.side("respond", ADDRESS)
            ask_from_the_kernel(inside, ADDRESS)
            interrupt(responder)
            output, _ = interrupt(bridge)
    ports = json.loads(output)
    assert ports[1]["sent"] >= 2


def next_of(interface: Interface, ethertype: bytes) -> bytes:
    """The next packet of a type. The kernel sends packets of its own too."""
    while (packet := interface.recv(TIMEOUT))[12:14] != ethertype:
        pass
    return packet


@pytest.mark.parametrize("tag", ["81000064", "88a800c881000064"])
def test_a_network_interface_keeps_vlan_tags_both_ways(shell, tag):
    frame = bytes.fromhex(f"02fe0000000102fe00000002{tag}88b5") + bytes(range(46))
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(veth())
        ends = []
        for number, path in enumerate(paths):
            words = [*inside, *MEMIF, "bridge", path, f"if:ve{number}"]
            bridge = stack.enter_context(Program(words, shell.folder / f"errors{number}"))
            ends.append(stack.enter_context(Interface(path)))
            wait_for_words(bridge, "connected to")
        ends[0].send(frame, TIMEOUT)
        assert next_of(ends[1], frame[12:14]) == frame
