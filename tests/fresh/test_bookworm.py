# SPDX-License-Identifier: Apache-2.0
"""A newcomer on Debian 12."""

from support.newcomer import Newcomer


class TestBookworm(Newcomer):
    suite = "bookworm"
