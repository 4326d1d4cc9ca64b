# SPDX-License-Identifier: Apache-2.0
"""valgrind watches a program through the whole life of its interfaces."""

from pathlib import Path

import pytest
from support import builds
from support.builds import SUPPORT, V4, run

MEMCHECK = (
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite,possible",
    "--errors-for-leak-kinds=definite,possible",
    "--num-callers=40",
    f"--suppressions={SUPPORT / 'valgrind.supp'}",
)


@pytest.fixture(scope="module")
def lifecycle(tmp_path_factory) -> Path:
    """programs/lifecycle_v1.c."""
    installed = builds.release(tmp_path_factory)
    program = tmp_path_factory.mktemp("programs") / "lifecycle"
    return installed.compile(program, ["lifecycle_v1.c"], "-g")


@pytest.fixture(scope="module")
def lifecycle_v4(tmp_path_factory) -> Path:
    """programs/lifecycle_v4.c."""
    installed = builds.release(tmp_path_factory)
    program = tmp_path_factory.mktemp("programs") / "lifecycle_v4"
    return installed.compile(program, ["lifecycle_v4.c"], "-g", api=V4)


def check_memory(program: Path, *arguments: Path | str, version: str) -> None:
    variables = builds.environment(LIBMEMIF_PROTOCOL=version)
    run([*MEMCHECK, program, *arguments], timeout=120, env=variables)


@pytest.mark.parametrize("version", ["256", "512"])
def test_no_bad_access_and_nothing_lost(lifecycle, tmp_path, version):
    check_memory(lifecycle, tmp_path / "socket", version=version)


@pytest.mark.parametrize("version", ["256", "512"])
def test_no_bad_access_and_nothing_lost_in_v4(lifecycle_v4, tmp_path, version):
    check_memory(lifecycle_v4, tmp_path / "socket", version, version=version)


def test_a_lost_block_would_be_found(lifecycle, tmp_path):
    command = [*MEMCHECK, lifecycle, tmp_path / "socket", "leak"]
    result = run(command, timeout=120, status=99)
    assert "100 bytes in 1 blocks are definitely lost" in result.stderr
    assert "lose_a_block (lifecycle_v1.c:" in result.stderr
