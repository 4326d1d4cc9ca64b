# SPDX-License-Identifier: Apache-2.0
"""A newcomer on Debian 12."""

import shutil

from support.containerfile import runs_of, stages
from support.newcomer import RECEIVED, VERSION, Newcomer, first_program

PING = """
export PATH=/opt/memif/bin:$PATH
memif respond 10.0.0.2 -S /tmp/memif.sock &
memif ping 10.0.0.2 -S /tmp/memif.sock -c 3
kill $!
"""


class TestBookworm(Newcomer):
    suite = "bookworm"

    def test_pip_installs_the_package_and_the_command(self, machine, tmp_path):
        """By the commands of the Containerfile, which are those of README (tests/docs).

        A bare machine is like the image that it starts from. Each stage has one.
        """
        build, image = map(runs_of, stages())
        python = "/opt/memif/bin/python"
        flags = f"{python} -m libmemif_py --cflags --libs"
        said = machine.run(
            "\n".join(["cp -a . /src", "cd /src", *build, first_program(flags, python)])
        )
        assert VERSION in said
        assert RECEIVED in said
        built = tmp_path / "memif"
        shutil.copytree(machine.root / "opt" / "memif", built, symlinks=True)
        said = machine.run("\n".join([*image, f"cp -a {built} /opt/memif", PING]), tmp_path)
        assert "3 packets transmitted, 3 received, 0% packet loss" in said
