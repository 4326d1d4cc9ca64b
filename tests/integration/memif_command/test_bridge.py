# SPDX-License-Identifier: Apache-2.0
"""`memif bridge` joins interfaces with each other and with the kernel."""

import contextlib
import json
import sys
from collections.abc import Iterator

import pytest
from support.builds import run
from support.frames import PACKETS, tcpdump_keeps
from support.memif_command import (
    ADDRESS,
    MEMIF,
    ask_from_the_kernel,
    capture,
    interrupt,
    namespace,
    packets,
    statistics,
    wait_for_words,
)
from support.programs import TIMEOUT, Program, wait_until_listening

from libmemif_py import Interface
from libmemif_py.tools.formats import pcapng


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


def test_a_filter_says_what_a_bridge_records_and_all_packets_pass(shell):
    record = shell.folder / "record.pcapng"
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    bridge = shell.start("bridge", *paths, "-w", record, "-f", "icmp or vlan 5")
    for path in paths:
        wait_until_listening(path)
    with Interface(paths[0]) as left, Interface(paths[1]) as right:
        for each in (left, right):
            each.wait_connected(TIMEOUT)
        wait_for_words(bridge, "connected to", times=2)
        left.send_burst(PACKETS, TIMEOUT)
        assert [right.recv(TIMEOUT) for _ in PACKETS] == PACKETS
    said = interrupt(bridge)[1].splitlines()
    expected = tcpdump_keeps(PACKETS, "icmp or vlan 5")
    assert f"{len(expected)} packets captured" in said
    assert f"{len(PACKETS) - len(expected)} packets filtered" in said
    assert capture(record) == expected
    none = dict.fromkeys((4, 5, 6, 8), 0)
    left = {4: len(PACKETS), 5: 0, 6: len(expected), 8: len(expected)}
    assert statistics(record) == [left, none]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-f", "icmp"), "name a file with -w"),
        (("-w", "x", "-f", "icmp or"), "syntax error"),
        (("-C", "1"), "name them with -w FILE"),
        (("-w", "x", "-W", "3"), "the number of files of -C or -G"),
    ],
)
def test_wrong_words_for_the_record_of_a_bridge_are_refused_before_anything_is_opened(
    shell, words, said
):
    result = shell.run("bridge", "a.sock", "b.sock", *words, status=2)
    assert said in result.stderr
    assert sorted(shell.folder.iterdir()) == []


def test_a_bridge_records_into_a_ring_of_files(shell):
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    target = shell.folder / "ring.pcapng"
    bridge = shell.start("bridge", *paths, "-w", target, "-C", "4k", "-W", 3)
    frames = [bytes((number,)) * 1000 for number in range(20)]
    for path in paths:
        wait_until_listening(path)
    with Interface(paths[0]) as left, Interface(paths[1]) as right:
        wait_for_words(bridge, "connected to", times=2)
        left.send_burst(frames, TIMEOUT)
        assert [right.recv(TIMEOUT) for _ in frames] == frames
    interrupt(bridge)
    names = [f"ring.pcapng{number}" for number in range(3)]
    assert sorted(path.name for path in shell.folder.glob("ring*")) == names
    kept = sorted(packet for name in names for packet in capture(shell.folder / name))
    assert kept == frames[-len(kept) :]
    assert len(kept) == 12  # each file has four
    # The last file was written at the end: its counts are those of all.
    both = [statistics(shell.folder / name) for name in names]
    assert [{4: 20, 5: 0, 6: 20, 8: 20}, {4: 0, 5: 0, 6: 0, 8: 0}] in both


def test_a_bridge_ends_after_the_last_file_of_its_time(shell):
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    target = shell.folder / "at-%H%M%S.pcap"
    bridge = shell.start("bridge", *paths, "-w", target, "-G", 1, "-W", 2)
    assert bridge.wait() == 0
    assert len(list(shell.folder.glob("at-*.pcap"))) == 2


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
            wait_for_words(bridge, "bridge between")
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


@contextlib.contextmanager
def bridged(shell, inside: list[str], *words: str) -> Iterator[tuple[Program, Interface]]:
    """A bridge in a namespace from a memif to the last word, and the other end of the memif."""
    mode = "ip" if any(word.startswith("tun:") for word in words) else "ethernet"
    command = [*inside, *MEMIF, "bridge", f"{shell.socket},mode={mode}", *words]
    with Program(command, shell.folder / "errors") as bridge:
        wait_until_listening(shell.socket)
        with Interface(shell.socket, mode=mode) as ours:
            wait_for_words(bridge, "connected to")
            yield bridge, ours


FRAME = bytes.fromhex("ffffffffffff02fe0000000288b5") + bytes(range(46))
SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((sys.argv[1], 0))
    sock.send(bytes.fromhex(sys.argv[2]))
"""


def send_from(inside: list[str], device: str, frame: bytes) -> None:
    run([*inside, sys.executable, "-P", "-c", SEND, device, frame.hex()])


FLOOD = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((sys.argv[1], 0))
    for _ in range(int(sys.argv[3])):
        sock.send(bytes.fromhex(sys.argv[2]))
"""


def test_what_the_kernel_has_no_room_for_is_counted(shell):
    frame = FRAME + bytes(1400)
    with veth() as inside, bridged(shell, inside, "if:ve1", "--json") as (bridge, _):
        with bridge.stopped():
            run([*inside, sys.executable, "-P", "-c", FLOOD, "ve0", frame.hex(), "6000"])
        output, _ = interrupt(bridge)
    memif, kernel = json.loads(output)
    assert memif["lost"] is None
    assert kernel["lost"] > 1000


@pytest.mark.parametrize("device", ["if:ve1", "tap:mt0"])
def test_a_bridge_goes_on_when_an_interface_was_down(shell, device):
    name = device.partition(":")[2]
    with veth() as inside, bridged(shell, inside, device, "--json") as (bridge, ours):
        for round_ in (1, 2):
            run([*inside, "ip", "link", "set", name, "down"])
            wait_for_words(bridge, f"{device}: the network interface is down", times=round_)
            for _ in range(3):
                ours.send(FRAME, TIMEOUT)
            assert ours.flush(TIMEOUT)
            run([*inside, "ip", "link", "set", name, "up"])
            wait_for_words(bridge, f"{device}: the network interface is up again", times=round_)
        send_from(inside, "ve0" if name == "ve1" else name, FRAME)
        assert next_of(ours, FRAME[12:14]) == FRAME
        output, errors = interrupt(bridge)
    assert (errors.count("is down"), errors.count("is up again")) == (2, 2)
    assert json.loads(output)[1]["dropped"] == 6


def test_a_bridge_begins_with_an_interface_that_is_down(shell):
    with veth() as inside:
        run([*inside, "ip", "link", "set", "ve1", "down"])
        with bridged(shell, inside, "if:ve1") as (bridge, ours):
            wait_for_words(bridge, "if:ve1: the network interface is down")
            run([*inside, "ip", "link", "set", "ve1", "up"])
            wait_for_words(bridge, "if:ve1: the network interface is up again")
            send_from(inside, "ve0", FRAME)
            assert next_of(ours, FRAME[12:14]) == FRAME
            interrupt(bridge)


def test_a_bridge_goes_on_when_an_interface_is_made_anew(shell):
    with veth() as inside, bridged(shell, inside, "if:ve1") as (bridge, ours):
        for round_ in (1, 2):
            run([*inside, "ip", "link", "delete", "ve1"])
            wait_for_words(bridge, "if:ve1: the network interface was deleted", times=round_)
            ours.send(FRAME, TIMEOUT)
            run([*inside, "ip", "link", "add", "ve0", "type", "veth", "peer", "name", "ve1"])
            for name in ("ve0", "ve1"):
                run([*inside, "ip", "link", "set", name, "up"])
            wait_for_words(bridge, "if:ve1: the network interface is up again", times=round_)
            send_from(inside, "ve0", FRAME)
            assert next_of(ours, FRAME[12:14]) == FRAME
        interrupt(bridge)


def test_a_bridge_ends_with_its_tap_device_and_names_it(shell):
    with namespace() as inside, bridged(shell, inside, "tap:mt0") as (bridge, _):
        run([*inside, "ip", "link", "delete", "mt0"])
        assert bridge.wait() == 1
        assert "memif: tap:mt0: the TAP device was deleted\n" in bridge.errors


def test_a_bridge_joins_four_queues_with_a_peer_of_one(shell):
    paths = [str(shell.folder / name) for name in ("a.sock", "b.sock")]
    bridge = shell.start("bridge", *paths, "--queues", 4)
    for path in paths:
        wait_until_listening(path)
    with Interface(paths[0], s2m_rings=4, m2s_rings=4) as left:
        for rings in (1, 2):  # a peer that comes back may have another number
            with Interface(paths[1], s2m_rings=rings, m2s_rings=rings) as right:
                wait_for_words(bridge, "connected to", times=rings + 1)
                for number in range(40):
                    left.send(bytes([number]) * 60, TIMEOUT, queue=number % 4)
                received = [right.recv(TIMEOUT, queue=n % rings)[0] for n in range(40)]
            assert sorted(received) == list(range(40))
            wait_for_words(bridge, "disconnected by the peer", times=rings)
    interrupt(bridge)


def test_the_kernel_pings_through_a_tun(shell):
    record = shell.folder / "record.pcapng"
    with namespace() as inside:
        words = [*MEMIF, "bridge", f"{shell.socket},mode=ip", "tun:mt0", "-w", str(record)]
        with Program([*inside, *words], shell.folder / "errors") as bridge:
            wait_for_words(bridge, "bridge between")
            run([*inside, "ip", "addr", "add", "10.0.0.1/24", "dev", "mt0"])
            responder = shell.side("respond", ADDRESS, "--mode", "ip")
            ask_from_the_kernel(inside, ADDRESS)
            interrupt(responder)
            interrupt(bridge)
    with record.open("rb") as file:
        assert {found.link_type for found in pcapng.read(file)} == {pcapng.RAW_IP}


def test_sides_of_different_modes_are_refused_before_anything_is_opened(shell):
    record = shell.folder / "record.pcap"
    first, tap = f"{shell.socket},mode=ip", "tap:mt0"
    result = shell.run("bridge", first, tap, "-w", record, status=2)
    assert f"'{first}' has ip packets and 'tap:mt0' has ethernet packets" in result.stderr
    assert not list(shell.folder.glob("*.pcap")) + list(shell.folder.glob("*.sock"))
    with namespace() as inside:
        run([*inside, "ip", "tuntap", "add", "dev", "mt1", "mode", "tun"])
        words = [*MEMIF, "bridge", shell.socket]
        refused = run([*inside, *words, "if:mt1"], status=2).stderr
        assert "'if:mt1' has ip packets" in " ".join(refused.split())
        refused = run([*inside, *words, "tap:mt1"], status=1).stderr
        assert refused.startswith("memif: tap:mt1: exists, and is no TAP device")
        refused = run([*inside, *words, "if:mt2"], status=1).stderr
    assert refused == (
        "memif: if:mt2: there is no such network interface, expected one of: lo, mt1\n"
    )
