# SPDX-License-Identifier: Apache-2.0
"""RxBurst.match: which packets of a burst have certain bytes at a certain place."""

import random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pairs import TIMEOUT, each_kind, pair

from libmemif_py import Interface, errors

BUFFER = 256


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    path = tmp_path_factory.mktemp("match") / "socket"
    with (
        Interface(path, role="master") as receiver,
        Interface(path, buffer_size=BUFFER) as sender,
    ):
        sender.wait_connected(TIMEOUT)
        yield sender, receiver


def expected(packets: list[bytes], value: bytes, offset: int, mask: bytes | None) -> list[int]:
    end = offset + len(value)
    ones = mask or b"\xff" * len(value)
    wanted = bytes(a & b for a, b in zip(value, ones, strict=True))
    return [
        index
        for index, packet in enumerate(packets)
        if len(packet) >= end
        and bytes(a & b for a, b in zip(packet[offset:end], ones, strict=True)) == wanted
    ]


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 40),
    size=st.integers(1, 40),
    masked=st.booleans(),
    at_the_end=st.booleans(),
)
def test_it_finds_what_a_plain_comparison_finds(both, seed, count, size, masked, at_the_end):
    """Of few different bytes, so that much is found. Also the last bytes that a row can have."""
    sender, receiver = both
    source = random.Random(seed)  # noqa: S311 - for tests
    alphabet = source.choices(range(256), k=2)
    most = BUFFER if at_the_end else 60
    lengths = [source.choice([most, most, source.randint(1, most)]) for _ in range(count)]
    packets = [bytes(source.choices(alphabet, (9, 1), k=length)) for length in lengths]
    offset = max(0, most - size) if at_the_end else source.randint(0, 60)
    value = bytes(source.choices(alphabet, (9, 1), k=size))
    mask = source.randbytes(size) if masked else None
    assert sender.send_burst(packets, TIMEOUT) == count
    received = []
    while len(received) < count:
        with receiver.rx_burst(count - len(received), TIMEOUT) as burst:
            found = burst.match(value, offset, mask)
            of_burst = [bytes(packet) for packet in burst]
            assert found.tolist() == expected(of_burst, value, offset, mask)
            received += of_burst
    assert received == packets


@each_kind
def test_the_indices_may_outlive_the_burst(version, role):
    with pair(version, role) as (sender, receiver):
        assert sender.send_burst([b"yes!", b"no", b"yes?"], TIMEOUT) == 3
        with receiver.rx_burst(3, TIMEOUT) as burst:
            found = burst.match(bytearray(b"yes"))
        assert (found.format, found.tolist()) == ("I", [0, 2])
        assert numpy.asarray(found).sum() == 2
        with pytest.raises(BufferError, match="over"):
            burst.match(b"yes")


def test_wrong_arguments_lose_nothing(both):
    sender, receiver = both
    sender.send(b"packet", TIMEOUT)
    with receiver.rx_burst(1, TIMEOUT) as burst:
        for arguments, text in {
            (b"",): "value has 0 bytes, expected 1 to 256",
            (bytes(257),): "value has 257 bytes, expected 1 to 256",
            (b"ab", -1): "offset -1, expected 0 to 65535",
            (b"ab", 65536): "offset 65536, expected 0 to 65535",
            (b"ab", 0, b"a"): "mask has 1 bytes, expected 2 as value",
        }.items():
            with pytest.raises(errors.ArgumentError, match=text):
                burst.match(*arguments)
        for wrong in (("text",), (b"ab", "0"), (b"ab", 0, "ab"), (b"ab", 0, 3)):
            with pytest.raises(TypeError):
                burst.match(*wrong)
        assert burst.match(b"packet").tolist() == [0]
        assert burst.match(b"packet", 65535).tolist() == []
