# SPDX-License-Identifier: Apache-2.0
"""What several tests of this folder are given."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import builds
from support.builds import APIS, Api, Installed


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    return builds.tested(tmp_path_factory)


@pytest.fixture(scope="session")
def faults(installed, tmp_path_factory) -> Callable[[Api], Path]:
    """tests/programs/faults.c for an interface. It wants a folder for its socket alone."""
    folder = tmp_path_factory.mktemp("faults")
    sources = ("faults.c", "faults_ends.c")
    programs = {
        api: installed.compile(folder / api.name, [*sources, f"faults_{api}.c"], api=api)
        for api in APIS
    }
    return programs.__getitem__
