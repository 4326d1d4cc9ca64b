# SPDX-License-Identifier: Apache-2.0
"""docs/security.md promises nothing without a test."""

import re

from support.builds import ROOT

from libmemif_py.control.endpoint import Settings
from libmemif_py.control.listener import MAX_UNNAMED

PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_each_test_that_the_page_names_exists():
    assert len(NAMED) > 30
    for file, name in NAMED:
        assert f"def {name}(" in (ROOT / file).read_text(), (file, name)


def test_both_pages_say_the_same_of_eventfds_that_block():
    containers = (ROOT / "docs" / "howto" / "containers.md").read_text()
    paragraph = re.search(r"An untrusted peer can make an eventfd.*?connection\.\n", PAGE, re.S)[0]
    assert paragraph in containers


def test_the_numbers_of_the_page_are_those_of_the_library():
    (strangers,) = re.findall(r"at most (\d+) connections", PAGE)
    (seconds,) = re.findall(r"Each has (\d+) seconds", PAGE)
    assert (int(strangers), int(seconds)) == (MAX_UNNAMED, Settings.handshake_timeout)
