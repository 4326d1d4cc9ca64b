# SPDX-License-Identifier: Apache-2.0
"""What the tests of forked children are given."""

import contextlib
from collections.abc import Iterator

import pytest
from support.forking import connect, exchange

from libmemif_py import Interface


@pytest.fixture
def pair(tmp_path) -> Iterator[tuple[Interface, Interface]]:
    """Master and slave; the socket file must be there at the end and go with them."""
    path = tmp_path / "socket"
    with contextlib.ExitStack() as stack:
        both = connect(str(path))
        for interface in both:
            stack.callback(interface.close)
        yield both
        exchange(both)
        assert path.is_socket()
    assert not path.exists()
