# SPDX-License-Identifier: Apache-2.0
"""Programs that embed the library, and installations to damage."""

from pathlib import Path

import pytest
from support import builds
from support.builds import V1, Api, Installed


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    return builds.release(tmp_path_factory)


@pytest.fixture(scope="session")
def compiled(installed, tmp_path_factory):
    """Compiles a program of tests/programs once."""
    folder = tmp_path_factory.mktemp("programs")

    def compile_once(name: str, *sources: str, api: Api = V1, flags: tuple[str, ...] = ()) -> Path:
        program = folder / api.name / name
        program.parent.mkdir(exist_ok=True)
        if not program.exists():
            installed.compile(program, [*(sources or [f"{name}.c"]), api.exchange], *flags, api=api)
        return program

    return compile_once


@pytest.fixture
def broken(installed, tmp_path) -> Installed:
    """A copy that the test may damage."""
    return installed.copy(tmp_path / "broken")
