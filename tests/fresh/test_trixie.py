# SPDX-License-Identifier: Apache-2.0
"""A newcomer on Debian 13."""

import re

from support.builds import APIS, declared_version
from support.newcomer import LISTS, RECEIVED, VERSION, Newcomer, commands, first_program

# Outside of the checkout, where `python -m` would find the sources.
FLAGS = "cd / && ~/memif/bin/python -m libmemif_py --cflags --libs"
EACH_API = "".join(
    f"cc tests/programs/plain.c tests/programs/{api.exchange} $({FLAGS} --api {api.version})"
    f" -o ~/{api}\n~/{api} /tmp/{api}.sock\n"
    for api in APIS
)


class TestTrixie(Newcomer):
    suite = "trixie"
    # What can make a wheel for it.
    older = "bookworm"
    python = "3.13"

    def test_the_data_path_is_proved(self, machine):
        said = machine.run("./bootstrap prove --short --only cbmc")
        assert re.search(r"cbmc: ([1-9]\d*) of \1 proofs shown", said)
        assert re.search(r"cbmc: ([1-9]\d*) of \1 faults found", said)

    def test_a_wheel_of_an_older_debian_is_used_from_python_and_from_c(self, machine, wheel):
        needed = f"gcc libc6-dev python3-venv libpython{self.python}"
        said = machine.run(
            f"{LISTS}sudo apt-get install {needed}\n"
            + f"mkdir dist && cp {wheel} dist\n"
            + commands("--find-links dist").removeprefix("./bootstrap wheels\n")
            + "~/memif/bin/memif --version\n"
            + EACH_API
            + first_program(FLAGS, "~/memif/bin/python"),
            wheel.parent,
        )
        assert f"libmemif-py-{declared_version()}" in said.partition("Successfully installed")[2]
        assert VERSION in said
        assert RECEIVED in said
