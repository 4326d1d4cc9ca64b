# SPDX-License-Identifier: Apache-2.0
"""A newcomer on Debian 13."""

import re

from support.newcomer import Newcomer


class TestTrixie(Newcomer):
    suite = "trixie"

    def test_the_data_path_is_proved(self, machine):
        said = machine.run("./bootstrap prove --short --only cbmc")
        assert re.search(r"cbmc: ([1-9]\d*) of \1 proofs shown", said)
        assert re.search(r"cbmc: ([1-9]\d*) of \1 faults found", said)
