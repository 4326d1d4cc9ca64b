# SPDX-License-Identifier: Apache-2.0
"""What a control connection takes from a peer."""

import os

import pytest

from libmemif_py import errors
from libmemif_py.control import channel, wire


def test_an_eventfd_is_taken():
    fd = os.eventfd(0)
    channel.check_eventfd(fd)
    os.close(fd)


def test_a_reason_that_is_cut_still_says_what_is_wrong_with_a_descriptor(tmp_path):
    """The name of a file may be longer than the reason that fits a message."""
    folder = tmp_path / ("long" * 50)
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    with pytest.raises(errors.BadFileError) as caught:
        channel.check_eventfd(fd)
    os.close(fd)
    data = wire.encode(wire.Disconnect(1, str(caught.value).encode()), wire.VERSION_2)
    told = wire.decode(data, wire.VERSION_2).reason
    assert b"the fd of a ring is no eventfd but /" in told
