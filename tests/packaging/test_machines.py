# SPDX-License-Identifier: Apache-2.0
"""Machines that the library cannot run on are refused before anything is built."""

from support.builds import PYTHON, ROOT, run

CROSS_FILE = """
[binaries]
c = 'gcc'
[host_machine]
system = 'linux'
cpu_family = '{family}'
cpu = '{family}'
endian = '{endian}'
"""


def configured(tmp_path, family: str, endian: str) -> tuple[int, str]:
    file = tmp_path / f"{family}.ini"
    file.write_text(CROSS_FILE.format(family=family, endian=endian))
    command = [PYTHON, "-m", "mesonbuild.mesonmain", "setup", tmp_path / family, ROOT]
    result = run([*command, f"--cross-file={file}"], status=None)
    return result.returncode, result.stdout


def test_a_big_endian_machine_is_refused(tmp_path):
    status, said = configured(tmp_path, "s390x", "big")
    assert status != 0
    assert (
        "ERROR: Problem encountered: libmemif-py needs a little-endian machine, s390x is big-endian"
        in said
    )


def test_a_little_endian_machine_is_not(tmp_path):
    _, said = configured(tmp_path, "riscv64", "little")
    assert "needs a little-endian" not in said
