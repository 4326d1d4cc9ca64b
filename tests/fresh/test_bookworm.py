# SPDX-License-Identifier: Apache-2.0
"""A newcomer on Debian 12."""

import shutil

from support.containerfile import runs_of, stages
from support.newcomer import Newcomer

PING = """
export PATH=/opt/memif/bin:$PATH
memif respond 10.0.0.2 -S /tmp/memif.sock &
memif ping 10.0.0.2 -S /tmp/memif.sock -c 3
kill $!
"""


class TestBookworm(Newcomer):
    suite = "bookworm"

    def test_the_commands_of_the_containerfile_make_an_image(self, machine, tmp_path):
        """A bare machine is like the image that it starts from. Each stage has one."""
        build, image = map(runs_of, stages())
        machine.run("\n".join(["cp -a . /src", "cd /src", *build]))
        built = tmp_path / "memif"
        shutil.copytree(machine.root / "opt" / "memif", built, symlinks=True)
        said = machine.run("\n".join([*image, f"cp -a {built} /opt/memif", PING]), tmp_path)
        assert "3 packets transmitted, 3 received, 0% packet loss" in said
