# SPDX-License-Identifier: Apache-2.0
"""A place for a socket that other users can reach."""

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def folder():
    """One that every user can look into, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="memif-access-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def path(folder):
    return folder / "socket"
