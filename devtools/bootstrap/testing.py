# SPDX-License-Identifier: Apache-2.0
"""What comes before the tests."""

import sys

import building
from sources import check_sources

OTHER_BUILDS = (building.DEBUG, building.ASAN, building.TSAN, building.WITH_CLANG, building.FUZZ)


def prepare_for_pytest() -> None:
    """Check and build, or end."""
    if check_sources():
        sys.exit(1)
    building.must_install("examples", "tests", "bench")
    for build in OTHER_BUILDS:
        building.must_make(build)
