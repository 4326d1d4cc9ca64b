# SPDX-License-Identifier: Apache-2.0
"""A control trace has each message as it was on the wire, and no secret."""

import re
import struct

import pytest
from support.builds import ROOT
from support.control_traces import entries_of, recorded_entries, write_sample
from support.fakelink import recordings

from libmemif_py.control import wire
from libmemif_py.tools.formats import control_trace
from libmemif_py.tools.formats.control_trace import RECEIVED, SENT, Entry
from libmemif_py.tools.formats.pcapng import CaptureError

PAGE = ROOT / "docs" / "reference" / "control-trace.md"


def test_a_trace_is_read_as_it_was_written(tmp_path):
    write_sample(tmp_path / "sample.pcapng", [])
    read = entries_of(tmp_path / "sample.pcapng")
    written = recorded_entries([])
    assert len(read) == len(written) > 100
    for now, before in zip(read, written, strict=True):
        assert now.message == control_trace.without_secret(before.message)
        same = ("direction", "fds", "sender", "pid", "connection")
        assert all(getattr(now, field) == getattr(before, field) for field in same)


def test_each_message_behind_hello_has_the_version_of_its_connection(tmp_path):
    write_sample(tmp_path / "sample.pcapng", [])
    versions = [recording.version for recording in recordings()]
    for entry in entries_of(tmp_path / "sample.pcapng"):
        is_hello = control_trace.message_type(entry.message) == wire.Hello.type_number
        assert entry.version == (0 if is_hello else versions[entry.connection - 1])


@pytest.mark.parametrize("length", [0, 1, 2, 8, 9, 20, 33, 128, 129])
def test_no_part_of_a_secret_is_in_a_trace(length):
    secret = b"SECRET" * 4
    init = wire.encode(wire.Init(512, 7, 1, secret, b"slave"), 512).ljust(129, b"\0")[:length]
    packet = control_trace.encode(Entry(SENT, 0, 2, 1, 1, 0, init))
    message = control_trace.decode(packet).message
    assert len(message) == length
    assert not any(message[9:33])
    assert (message[:9], message[33:]) == (init[:9], init[33:])


def test_an_unknown_number_of_descriptors_is_255_and_no_other_is_larger():
    for fds, shown in ((0, 0), (1, 1), (253, 253), (255, 255), (300, 255)):
        packet = control_trace.encode(Entry(RECEIVED, fds, 2, 1, 1, 0, b""))
        assert control_trace.decode(packet).fds == shown


@pytest.mark.parametrize("packet", [b"", b"\1" * 15, b"\2" * 144])
def test_a_packet_of_another_kind_is_refused(packet):
    with pytest.raises(CaptureError, match="expected a header of format 1 with 16 bytes"):
        control_trace.decode(packet)


def test_the_page_describes_the_header_as_it_is():
    rows = re.findall(r"^\| (\d+) \| (u8|u16|u32) \| ([\w ]+) \|", PAGE.read_text(), re.M)
    layout = "<" + "".join({"u8": "B", "u16": "H", "u32": "I"}[kind] for _, kind, _ in rows)
    assert layout == control_trace.HEADER.format
    offsets = [struct.calcsize("<" + layout[1:][:place]) for place in range(len(rows))]
    assert [int(offset) for offset, _, _ in rows] == offsets
    assert f"LINKTYPE_USER0 ({control_trace.LINK_TYPE})" in PAGE.read_text()
