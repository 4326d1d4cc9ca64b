# SPDX-License-Identifier: Apache-2.0
"""A file for each Debian: two files run at a time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bare_debian import BareDebian, bare_debian, lacking

pytest.register_assert_rewrite("support.newcomer")


@pytest.fixture(scope="class")
def machine(request) -> Iterator[BareDebian]:
    """Of the suite that the class names."""
    if reason := lacking():
        pytest.skip(reason)
    with bare_debian(request.cls.suite) as machine:
        yield machine


@pytest.fixture(scope="class")
def packages(machine, tmp_path_factory) -> Path:
    """A folder with those that ./bootstrap deb made."""
    # tests/packaging/test_debian.py builds them with their tests, and ./bootstrap test --in SUITE
    # runs all tests on another Debian.
    machine.run("DEB_BUILD_OPTIONS=nocheck ./bootstrap deb")
    folder = tmp_path_factory.mktemp("packages")
    for package in machine.checkout().glob("dist/*.deb"):
        shutil.copy(package, folder)
    return folder
