# SPDX-License-Identifier: Apache-2.0
"""A file for each Debian: two files run at a time."""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import interpreters
import pytest
import wheels
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


@pytest.fixture(scope="class")
def wheel(request, tmp_path_factory) -> Path:
    """The wheel that this machine makes for the Python of another Debian, which the class names."""
    here = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if here != request.cls.older:
        pytest.skip(
            f"wheels for {request.cls.suite} are made on {request.cls.older}, not on {here}"
        )
    python = interpreters.pythons().get(request.cls.python)
    if python is None:
        pytest.skip(f"this machine has no Python {request.cls.python} that makes wheels")
    folder = tmp_path_factory.mktemp("wheel")
    sdist = wheels.make_sdist(folder / "sdist")
    wheel, _ = wheels.make_wheel(
        sdist, wheels.make_tools(folder / "tools", python), folder / "made"
    )
    return wheel
