# SPDX-License-Identifier: Apache-2.0
"""Wireshark's dissector says of control messages what control/wire.py says, and what is wrong."""

import contextlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builds import ROOT
from support.control_traces import entries_of, write_sample
from support.memif_command import Shell, interrupt
from support.programs import TIMEOUT
from support.relays import Relayed
from support.wireshark import Reader, shared_folder

from libmemif_py import Interface
from libmemif_py.control import wire
from libmemif_py.tools import capture
from libmemif_py.tools.formats import control_trace, pcapng
from libmemif_py.tools.formats.control_trace import MASTER, RECEIVED, SENT, SLAVE, Entry

PAGE = ROOT / "docs" / "howto" / "wireshark.md"
TOLD = "memif control messages, link type USER0"
SENDERS = {wire.Hello: MASTER, wire.Ack: MASTER, wire.Connected: MASTER}
FDS = {wire.AddRegion: 1, wire.AddRing: 1}
UINT16, UINT32, UINT64 = 2**16 - 1, 2**32 - 1, 2**64 - 1


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as folder:
        yield folder


@pytest.fixture
def reader(folder) -> Reader:
    return Reader(folder)


def field_of(message_class: type[wire.Message], slot: str) -> str:
    return f"memif.{message_class.label.lower()}.{slot}"


FIELDS = [(c, slot, field_of(c, slot)) for c in wire.MESSAGE_CLASSES for slot in c.__slots__]


def shown(value: object) -> str:
    """As tshark prints a value of a message."""
    if isinstance(value, bool):
        return str(value)
    return value.decode() if isinstance(value, bytes) else str(value)


def write_trace(
    path: Path, entries: list[Entry], snaplen: int = pcapng.WHOLE, told: str = TOLD
) -> Path:
    """Unlike TraceWriter it keeps each version as it is."""
    with path.open("wb") as file:
        writer = pcapng.PcapngWriter(file, control_trace.LINK_TYPE, snaplen, ("memif",), told)
        for number, entry in enumerate(entries):
            writer.write(control_trace.encode(entry), number)
    path.chmod(0o644)
    return path


def entry(message: wire.Message | bytes, version: int = 512, **changes: int) -> Entry:
    kind = type(message)
    data = message if isinstance(message, bytes) else wire.encode(message, version)
    values = {
        "direction": RECEIVED,
        "fds": FDS.get(kind, 0),
        "sender": SENDERS.get(kind, SLAVE),
        "pid": 77,
        "connection": 3,
        "version": version,
        "message": data,
    }
    return Entry(**{**values, **changes})


def check_fields(reader: Reader, trace: Path) -> None:
    """tshark shows of each message what wire.py reads in it, and nothing of other kinds."""
    rows = reader.rows(trace, ["memif.type", *(name for _, _, name in FIELDS)])
    entries = entries_of(trace)
    assert len(rows) == len(entries)
    for row, record in zip(rows, entries, strict=True):
        found = dict(zip((name for _, _, name in FIELDS), row[1:], strict=True))
        if not record.message:
            assert not any(row)
            continue
        message = wire.decode(record.message, record.version or wire.VERSION_2)
        assert row[0] == str(message.type_number)
        for kind, slot, name in FIELDS:
            value = found[name]
            if kind is not type(message) or (slot, record.version) == ("private_hdr_size", 256):
                assert value == "", name
            elif slot == "secret":
                assert value == bytes(wire.SECRET_SIZE).hex()
            elif slot == "s2m":  # Wireshark 4.0 shows a number
                assert {"1": "True", "0": "False"}.get(value, value) == shown(message.s2m)
            else:
                assert value == shown(getattr(message, slot)), name


def test_each_recorded_message_has_the_fields_that_we_read(reader, folder):
    write_sample(folder / "sample.pcapng", [])
    check_fields(reader, folder / "sample.pcapng")
    kinds = {row[0] for row in reader.rows(folder / "sample.pcapng", ["memif.type"])}
    assert kinds == {"", *"12345678"}


def test_nothing_that_real_peers_send_is_marked(reader, folder):
    write_sample(folder / "sample.pcapng", [])
    rows = reader.rows(folder / "sample.pcapng", ["_ws.expert.message"])
    said = {"".join(row) for row in rows} - {"", "The sender closed the connection"}
    assert said == {"code 0: incorrect secret", "code 0: interface deleted"}


def random_message(dice: random.Random, version: int) -> wire.Message:
    """Any values that fit."""
    limits = {wire.Hello: UINT16, wire.Init: UINT16, wire.AddRing: UINT16, wire.AddRegion: UINT16}
    kind = dice.choice(wire.MESSAGE_CLASSES)
    wide = {"size": UINT64, "interface_id": UINT32, "code": UINT32}
    wide["offset"] = UINT64 if version == 256 else UINT32
    narrow = dict.fromkeys(("max_log2_ring_size", "log2_ring_size", "mode"), 255)
    values: dict[str, object] = {}
    for slot in kind.__slots__:
        if slot in ("name", "if_name", "reason", "secret"):
            values[slot] = "".join(dice.choices("abc ÄЖ\u20ac", k=dice.randint(1, 8))).encode()
        elif slot == "s2m":
            values[slot] = dice.random() < 0.5
        elif slot == "private_hdr_size" and version == 256:
            values[slot] = 0
        else:
            most = {**wide, **narrow}.get(slot, limits.get(kind, UINT32))
            values[slot] = dice.choice((0, 1, most, dice.randint(0, most)))
    return kind(**values)


@pytest.mark.parametrize("version", [256, 512])
def test_each_value_that_fits_is_shown(reader, folder, version):
    dice = random.Random(version)  # noqa: S311
    entries = [entry(random_message(dice, version), version) for _ in range(400)]
    check_fields(reader, write_trace(folder / "trace.pcapng", entries))


def test_the_header_is_shown(reader, folder):
    entries = [
        entry(wire.Ack(), direction=SENT, pid=12, connection=UINT32),
        entry(wire.AddRegion(0, 1), version=256),
    ]
    names = ("format", "direction", "descriptors", "sender", "pid", "connection", "agreed_version")
    rows = reader.rows(
        write_trace(folder / "trace.pcapng", entries), [f"memif.{name}" for name in names]
    )
    assert rows == [
        ["1", "1", "0", "1", "12", str(UINT32), "512"],
        ["1", "0", "1", "2", "77", "3", "256"],
    ]


HELLO = wire.Hello(b"m", 256, 512, 255, 255, 255, 14)
INIT = wire.Init(512, 0, 0, b"", b"s")
RING = wire.AddRing(True, 0, 0, 0, 10, 0)


def changed(message: wire.Message, **changes: object) -> wire.Message:
    values = {slot: getattr(message, slot) for slot in message.__slots__}
    return type(message)(**{**values, **changes})


def with_flags(flags: int) -> bytes:
    data = bytearray(wire.encode(RING, 512))
    data[2:4] = flags.to_bytes(2, "little")
    return bytes(data)


WRONG = {
    "nothing": (entry(HELLO), ""),
    "all of 256": (entry(changed(HELLO, max_version=256)), ""),
    "versions": (entry(changed(HELLO, min_version=513, max_version=600)),
                 "Versions 513 to 600, expected 256 or 512 among them"),
    "HELLO rings": (entry(changed(HELLO, max_m2s_ring=257)),
                    "Highest index of a master-to-slave ring 257, expected at most 256"),
    "HELLO size": (entry(changed(HELLO, max_log2_ring_size=15)),
                   "Log2 of the largest ring size 15, expected at most 14"),
    "INIT": (entry(INIT), ""),
    "INIT version": (entry(changed(INIT, version=257)), "Version 257 is not known"),
    "INIT mode": (entry(changed(INIT, mode=3)), "Mode 3 is not known"),
    "region": (entry(wire.AddRegion(1, 4096)), ""),
    "region index": (entry(wire.AddRegion(256, 4096)), "Index 256, expected at most 255"),
    "region size": (entry(wire.AddRegion(1, 0)), "Size 0, expected at least 1"),
    "no descriptor": (entry(wire.AddRegion(1, 1), fds=0),
                      "ADD_REGION with 0 descriptors, expected 1"),
    "not received": (entry(wire.AddRegion(1, 1), fds=255), ""),
    "a descriptor": (entry(wire.Ack(), fds=255), "ACK with at least 1 descriptor, expected 0"),
    "ring": (entry(RING), ""),
    "ring flags": (entry(with_flags(2), fds=1), "Flags 2, expected at most 1"),
    "ring size": (entry(changed(RING, log2_ring_size=15)),
                  "Log2 of the ring size 15, expected at most 14"),
    "sender": (entry(HELLO, sender=SLAVE), "HELLO from the slave, expected it from the master"),
    "type": (entry((9).to_bytes(2, "little").ljust(128, b"\0")), "Type 9, expected 1 to 8"),
    "long": (entry(bytes(129)), "Message of 129 bytes, expected 128"),
    "short": (entry(b"\1"), "Message of 1 bytes, expected 128"),
    "closed": (entry(b""), "The sender closed the connection"),
    "reason": (entry(wire.Disconnect(1, b"bye")), "code 1: bye"),
    "unknown role": (entry(wire.Ack(), sender=3), "Sender 3 is not known"),
}  # fmt: skip


def test_what_is_wrong_is_marked(reader, folder):
    trace = write_trace(folder / "trace.pcapng", [case for case, _ in WRONG.values()])
    rows = reader.rows(trace, ["_ws.expert.message"])
    found = dict(zip(WRONG, ("".join(row) for row in rows), strict=True))
    assert found == {name: text for name, (_, text) in WRONG.items()}


@pytest.mark.parametrize("version", [0, 257])
def test_a_ring_of_an_unknown_version_is_not_guessed(reader, folder, version):
    record = entry(wire.encode(RING, 512), version=version, fds=1)
    trace = write_trace(folder / "trace.pcapng", [record])
    ((said, offset, unread),) = reader.rows(
        trace, ["_ws.expert.message", "memif.add_ring.offset", "memif.unread"]
    )
    assert said == f"ADD_RING of version {version}, expected 256 or 512"
    assert offset == ""
    assert unread == wire.encode(RING, 512)[2:].hex()


def test_a_message_that_the_capture_cut_is_marked(reader, folder):
    trace = write_trace(folder / "trace.pcapng", [entry(HELLO)], snaplen=100)
    ((name, kind),) = reader.rows(trace, ["memif.hello.name", "memif.wrong_size"])
    assert name == ""
    assert kind


def test_any_bytes_can_be_read(reader, folder):
    dice = random.Random(2)  # noqa: S311
    entries = []
    for number in range(1000):
        data = bytearray(dice.randbytes(128 if number % 4 else dice.randint(0, 129)))
        data[:2] = dice.randint(0, 9).to_bytes(2, "little")[: len(data)]
        version = dice.choice((0, 256, 512, 700))
        numbers = {"fds": dice.randrange(256), "sender": dice.randrange(256)}
        entries.append(entry(bytes(data), version, **numbers))
    lines = reader.run("-V", "-r", write_trace(folder / "trace.pcapng", entries))
    assert lines.count("memif control message: ") == len(entries)


def test_texts_of_a_peer_cannot_control_a_terminal(reader, folder):
    evil = b"a\x1b[2J\n\x07\xc2\x9b\xff"
    messages = [wire.Disconnect(0, evil), changed(HELLO, name=evil), wire.Connect(evil)]
    trace = write_trace(folder / "trace.pcapng", list(map(entry, messages)))
    said = reader.run("-V", "-r", trace) + reader.run("-r", trace)
    assert r'HELLO "a\x1b[2J\x0a\x07\xc2\x9b\xff", versions' in said
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said) == []


@pytest.mark.parametrize("version", [256, 512])
def test_tshark_shows_what_a_relay_records(reader, folder, tmp_path, version):
    trace = folder / "trace.pcapng"
    with contextlib.ExitStack() as stack:
        relayed = Relayed(Shell(tmp_path, stack), "--control-trace", trace)
        with (
            Interface(relayed.masters, role="master", version=version) as master,
            Interface(relayed.slaves, version=version) as slave,
        ):
            slave.wait_connected(TIMEOUT)
            master.wait_connected(TIMEOUT)
        interrupt(relayed.program)
    trace.chmod(0o644)
    check_fields(reader, trace)
    kinds = {row[0] for row in reader.rows(trace, ["memif.type"])}
    assert set("1234567") <= kinds
    wrong = ("out_of_range", "wrong_sender", "wrong_descriptors", "wrong_size", "no_version")
    marked = " or ".join(f"memif.{name}" for name in wrong)
    assert reader.run("-r", trace, "-Y", marked) == ""


def test_a_trace_without_a_description_is_known_by_its_headers(reader, folder):
    entries = [entry(HELLO), entry(HELLO, sender=3), entry(HELLO, direction=2)]
    trace = write_trace(folder / "trace.pcapng", entries, told="")
    assert reader.rows(trace, ["memif.hello.name"]) == [["m"], [""], [""]]


def test_packets_of_punt_inject_are_none_of_its_messages(reader, folder):
    trace = folder / "captured.pcapng"
    with trace.open("wb") as file:
        capture.writer_for(file, "", None, "punt-inject", 200).write(
            control_trace.encode(entry(HELLO)), 0
        )
    trace.chmod(0o644)
    assert reader.rows(trace, ["memif.hello.name"]) == [[""]]


def test_what_is_no_control_trace_is_left_to_others(reader, folder):
    with (folder / "other.pcapng").open("wb") as file:
        writer = pcapng.PcapngWriter(file, control_trace.LINK_TYPE)
        for data in (b"", b"hello, this is of somebody else", b"\1" * 15):
            writer.write(data, 0)
    (folder / "other.pcapng").chmod(0o644)
    words = ["-r", folder / "other.pcapng", "-T", "fields", "-e", "frame.protocols"]
    assert reader.run(*words, "-Y", "memif") == ""
    chosen = r'uat:user_dlts:"User 0 (DLT=147)","ip","0","","0",""'
    assert ":ip" in reader.run("-o", chosen, *words)


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_page_shows_what_tshark_prints(reader, folder):
    write_sample(folder / "trace.pcapng", ["libmemif4-slave--vpp-master"])
    (folder / "trace.pcapng").chmod(0o644)
    blocks = re.findall(r"^```text\n\$ (tshark .*-r .*)\n([^`]*)```$", PAGE.read_text(), re.M)
    assert len(blocks) == 2
    for command, output in blocks:
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)[1:]]
        printed = iter(squeezed(reader.run(*words)))
        for line in squeezed(output):
            assert line in printed, line  # in this order


def test_each_field_and_filter_of_the_page_exists(reader, folder):
    write_sample(folder / "trace.pcapng", [])
    (folder / "trace.pcapng").chmod(0o644)
    filters = re.findall(r"^\| `([^`]*memif[^`]*)` \|", PAGE.read_text(), re.M)
    assert len(filters) >= 5
    for display_filter in filters:
        reader.run("-r", folder / "trace.pcapng", "-Y", display_filter)
