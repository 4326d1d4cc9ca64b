# SPDX-License-Identifier: Apache-2.0
"""What the tests of all subcommands are given."""

import contextlib
from collections.abc import Iterator

import pytest
from support.memif_command import Shell


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    with contextlib.ExitStack() as stack:
        yield Shell(tmp_path, stack)
