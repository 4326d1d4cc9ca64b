# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakelink import recordings

from libmemif_py.control import wire
from libmemif_py.control.wire import (
    VERSION_1,
    VERSION_2,
    Ack,
    AddRegion,
    AddRing,
    Connect,
    Connected,
    Disconnect,
    Hello,
    Init,
    WireError,
    decode,
    encode,
    secrets_equal,
)

VERSIONS = [VERSION_1, VERSION_2]

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)
u64 = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)


def text(size):
    return st.lists(st.integers(1, 255), max_size=size).map(bytes)


same_in_both_versions = st.one_of(
    st.builds(Ack),
    st.builds(Hello, text(32), u16, u16, u16, u16, u16, u8),
    st.builds(Init, u16, u32, u8, st.binary(min_size=24, max_size=24), text(32)),
    st.builds(AddRegion, u16, u64),
    st.builds(Connect, text(32)),
    st.builds(Connected, text(32)),
    st.builds(Disconnect, u32, text(96)),
)
rings = {
    VERSION_1: st.builds(AddRing, st.booleans(), u16, u16, u64, u8, st.just(0)),
    VERSION_2: st.builds(AddRing, st.booleans(), u16, u16, u32, u8, u16),
}


def body(message, version=VERSION_2):
    """The bytes after the type."""
    return encode(message, version)[2:]


# The numbers that peers agree on.


def test_each_version_has_its_cookie():
    assert wire.COOKIES == {256: 0x3E31F10, 512: 0x3E31F20}


def test_modes_have_the_numbers_of_the_protocol():
    assert (wire.MODE_ETHERNET, wire.MODE_IP, wire.MODE_PUNT_INJECT) == (0, 1, 2)


# Layout, byte by byte.


def test_ack_is_its_type_and_zeros():
    assert encode(Ack(), VERSION_2) == b"\x01" + bytes(127)


def test_hello_puts_the_m2s_limit_before_the_s2m_limit():
    data = body(Hello(b"app", 0x0100, 0x0200, 0x0304, 0x0506, 0x0708, 9))
    assert data[:32] == b"app" + bytes(29)
    assert data[32:43] == bytes.fromhex("0001 0002 0403 0605 0807 09")
    assert data[43:] == bytes(83)


def test_init_fields_are_packed_without_holes():
    data = body(Init(VERSION_1, 0x01020304, 2, b"secret", b"name"))
    assert data[:7] == bytes.fromhex("0001 04030201 02")
    assert data[7:31] == b"secret" + bytes(18)
    assert data[31:63] == b"name" + bytes(28)


def test_add_region_size_follows_its_index_directly():
    assert body(AddRegion(0x0102, 0x030405060708090A))[:10] == bytes.fromhex(
        "0201 0A09080706050403"
    )


def test_add_ring_of_version_256_has_a_long_offset_and_no_private_header():
    data = body(AddRing(True, 1, 2, 0x0102030405060708, 10, 0), VERSION_1)
    assert data[:15] == bytes.fromhex("0100 0100 0200 0807060504030201 0A")
    assert data[15:] == bytes(111)


def test_add_ring_of_version_512_has_a_short_offset_and_a_private_header():
    data = body(AddRing(False, 1, 2, 0x01020304, 10, 0x0506), VERSION_2)
    assert data[:13] == bytes.fromhex("0000 0100 0200 04030201 0A 0605")


def test_disconnect_has_its_code_before_its_reason():
    data = body(Disconnect(0x01020304, b"bye"))
    assert data[:100] == bytes.fromhex("04030201") + b"bye" + bytes(93)


# Round trips.


@pytest.mark.parametrize("version", VERSIONS)
@settings(deadline=None)
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same(version, data):
    message = data.draw(same_in_both_versions | rings[version])
    encoded = encode(message, version)
    assert len(encoded) == 128
    assert decode(encoded, version) == message


@given(message=same_in_both_versions, written=st.sampled_from(VERSIONS), read=st.integers(0, 1024))
@settings(deadline=None)
def test_only_add_ring_needs_the_version(message, written, read):
    assert decode(encode(message, written), read) == message


@pytest.mark.parametrize("version", VERSIONS)
@settings(deadline=None)
@given(
    data=st.binary(min_size=128, max_size=128)
    | st.builds(
        lambda number, rest: number.to_bytes(2, "little") + rest,
        st.integers(0, 9),
        st.binary(min_size=126, max_size=126),
    )
)
def test_any_128_bytes_give_a_message_or_a_wire_error(version, data):
    try:
        message = decode(data, version)
    except WireError:
        assert not 1 <= int.from_bytes(data[:2], "little") <= 8
    else:
        assert message.type_number == int.from_bytes(data[:2], "little")


@given(data=st.binary(max_size=300).filter(lambda data: len(data) != 128))
@settings(deadline=None)
def test_any_other_size_is_refused_with_the_size_in_the_text(data):
    with pytest.raises(WireError, match=rf"\b{len(data)} bytes.*\b128\b"):
        decode(data, VERSION_2)


# Strings.


def test_a_name_may_fill_its_field_without_a_nul():
    name = b"n" * 32
    assert decode(encode(Connect(name), VERSION_2), VERSION_2).if_name == name


def test_strings_are_cut_to_their_fields():
    assert body(Connect(b"n" * 33))[30:34] == b"nn\0\0"
    assert body(Disconnect(0, b"r" * 97))[98:102] == b"rr\0\0"
    assert body(Init(512, 0, 0, b"s" * 25, b"n"))[29:33] == b"ssn\0"


def test_names_end_at_their_first_nul():
    data = b"\x06\x00" + b"if\0old bytes".ljust(126, b"x")
    assert decode(data, VERSION_2) == Connect(b"if")


def test_a_reason_ends_at_its_first_nul():
    data = b"\x08\x00" + bytes(4) + b"why\0old bytes".ljust(122, b"x")
    assert decode(data, VERSION_2) == Disconnect(0, b"why")


def test_a_received_secret_keeps_all_its_bytes():
    secret = b"abc\0def".ljust(24, b"\xff")
    assert decode(encode(Init(512, 0, 0, secret, b""), 512), 512).secret == secret


def test_bytes_after_the_last_field_are_ignored():
    data = encode(AddRegion(1, 2), VERSION_2)[:12] + b"x" * 116
    assert decode(data, VERSION_2) == AddRegion(1, 2)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("flags", "s2m"), [(0xFFFE, False), (0xFFFF, True)])
def test_add_ring_flags_beyond_the_first_are_ignored(version, flags, s2m):
    data = b"\x05\x00" + flags.to_bytes(2, "little") + bytes(124)
    assert decode(data, version) == AddRing(s2m, 0, 0, 0, 0, 0)


# Values that fit nothing.


@pytest.mark.parametrize("number", [0, 9, 0xFFFF])
def test_an_unknown_type_is_named_in_the_error(number):
    with pytest.raises(wire.UnknownTypeError, match=str(number)):
        decode(number.to_bytes(2, "little") + bytes(126), VERSION_2)


def test_an_unknown_version_has_no_add_ring():
    with pytest.raises(WireError, match="300"):
        encode(AddRing(True, 0, 0, 0, 10, 0), 300)
    with pytest.raises(WireError, match="300"):
        decode(b"\x05" + bytes(127), 300)


@pytest.mark.parametrize(
    ("message", "version"),
    [
        (AddRegion(0x1_0000, 1), VERSION_2),
        (AddRegion(0, -1), VERSION_2),
        (AddRing(True, 0, 0, 1 << 32, 10, 0), VERSION_2),
        (AddRing(True, 0, 0, 0, 10, 4), VERSION_1),
        (Connect("text"), VERSION_2),
    ],
)
def test_a_value_that_does_not_fit_is_shown_in_the_error(message, version):
    with pytest.raises(WireError) as caught:
        encode(message, version)
    assert repr(message) in str(caught.value)


def test_wire_error_is_a_value_error():
    assert issubclass(WireError, ValueError)


# Secrets.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"", b""),
        (b"", bytes(24)),
        (b"word", b"word" + bytes(20)),
        (b"word", b"word\0old bytes"),
        (b"\0before", b"\0after"),
        (b"s" * 24, b"s" * 24),
    ],
)
def test_secrets_are_equal_up_to_the_first_nul(one, other):
    assert secrets_equal(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"", b"word"),
        (b"word", b"wore"),
        (b"word", b"Word"),
        (b"word", b"words"),
        (b"s" * 24, b"s" * 23),
        (b"s" * 24, b"s" * 23 + b"t"),
    ],
)
def test_different_secrets_are_not_equal(one, other):
    assert not secrets_equal(one, other)
    assert not secrets_equal(other, one)


def test_repr_never_shows_a_secret():
    init = Init(512, 3, 0, b"hush", b"app")
    assert "hush" not in repr(init)
    assert "interface_id=3" in repr(init)


# The common base.


def test_messages_are_compared_by_class_and_field():
    assert Connect(b"x") == Connect(b"x")
    assert Connect(b"x") != Connect(b"y")
    assert Connect(b"x") != Connected(b"x")


@pytest.mark.parametrize(
    ("values", "named"),
    [((1,), {}), ((1, 2, 3), {}), ((1,), {"index": 1}), ((1,), {"sise": 2})],
)
def test_a_message_takes_every_field_exactly_once(values, named):
    with pytest.raises(TypeError, match="index, size"):
        AddRegion(*values, **named)


def test_fields_can_be_given_by_name():
    assert AddRegion(size=2, index=1) == AddRegion(1, 2)


# Real peers.


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_every_recorded_message_decodes_and_encodes_to_the_same_value(recording):
    for role in ("master", "slave"):
        for message in recording.messages(role):
            encoded = encode(message, recording.version)
            assert decode(encoded, recording.version) == message


def test_a_recorded_add_ring_of_version_256_reads_as_measured():
    recording = next(r for r in recordings() if r.name == "libmemif1-slave--libmemif1-master")
    sent = [message for message in recording.messages("slave") if type(message) is AddRing]
    assert sent == [
        AddRing(True, 0, 0, 0, 10, 0),
        AddRing(True, 1, 0, 0x8080, 10, 0),
        AddRing(False, 0, 0, 0x10100, 10, 0),
        AddRing(False, 1, 0, 0x18180, 10, 0),
    ]


def test_a_recorded_hello_of_vpp_reads_as_measured():
    recording = next(r for r in recordings() if r.name == "vpp-slave-3-2-queues--vpp-master")
    hello = recording.first(Hello)
    assert hello == Hello(b"VPP 26.06-release", 512, 512, 256, 256, 256, 14)


# The cold start.


def test_the_protocol_modules_import_nothing_but_struct_and_a_built_in_module():
    program = """
import sys, types
package = types.ModuleType("libmemif_py")
package.__path__ = [sys.argv[1]]
sys.modules["libmemif_py"] = package
before = set(sys.modules)
import libmemif_py.handshake
print(*sorted(set(sys.modules) - before))
"""
    folder = Path(wire.__file__).parent
    command = [sys.executable, "-I", "-S", "-c", program, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    ours = {f"libmemif_py.{module}" for module in ("actions", "handshake", "offer", "wire")}
    expected = {"__future__", "_struct", "struct", "_operator"} | ours
    assert "_operator" in sys.builtin_module_names  # no file to find, read and run
    assert set(run.stdout.split()) <= expected
