# SPDX-License-Identifier: Apache-2.0
"""Plugin of pytest, for ./bootstrap coverage: tells coverage.py which test runs a line.

Processes that a test starts have its name from the variable PYTEST_CURRENT_TEST.
"""

import coverage


def pytest_runtest_logstart(nodeid: str) -> None:
    """What runs from here on belongs to this test."""
    running = coverage.Coverage.current()
    if running is not None:
        running.switch_context(nodeid)
