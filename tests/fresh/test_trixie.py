# SPDX-License-Identifier: Apache-2.0
"""A newcomer on Debian 13."""

from support.newcomer import Newcomer


class TestTrixie(Newcomer):
    suite = "trixie"
