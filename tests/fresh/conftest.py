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


# On the Debian of this machine, tests/docs and tests/packaging do the same. What README has
# apt-get install first is seen on the other one.
OF_THIS_DEBIAN = (
    "test_pip_installs_the_package_and_the_command",
    "test_meson_installs_into_the_system",
    "test_the_debian_packages_are_made",
    "test_the_debian_packages_are_all_that_is_needed",
)
# What tests/docs and tests/packaging/test_wheels.py show of this machine.
LONG = (
    "test_the_documentation_is_made",
    "test_a_wheel_of_an_older_debian_is_used_from_python_and_from_c",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out steps that cost minutes and show little more, unless --all-steps asks for them."""
    if config.getoption("all_steps"):
        return
    here = platform.freedesktop_os_release().get("VERSION_CODENAME")
    left_out = [item for item in items if _is_left_out(item, here)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _is_left_out(item: pytest.Item, here: str | None) -> bool:
    suite = getattr(getattr(item, "cls", None), "suite", None)
    return suite is not None and (
        item.name in LONG or (suite == here and item.name in OF_THIS_DEBIAN)
    )


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
    # tests/packaging/test_debian.py builds them with their tests, if it is told to, and
    # ./bootstrap test --in SUITE runs all tests on another Debian.
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
