# SPDX-License-Identifier: Apache-2.0
"""A newcomer on Debian unstable, which may be broken on any day; so no run has this that does not
name it: ./bootstrap test tests/fresh/sid.py
"""

from support.newcomer import Newcomer


class TestSid(Newcomer):
    suite = "sid"
