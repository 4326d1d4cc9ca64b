# SPDX-License-Identifier: Apache-2.0
"""Programs that hold what they promise by compiling, and say the rest with their exit status."""

import subprocess

import pytest
from support.c_collector import build_directories


@pytest.mark.parametrize("program", ["v1/layout", "v1/headers", "v4/layout", "v4/headers"])
def test_a_program_against_the_public_headers_runs(program, pytestconfig):
    for build in build_directories(pytestconfig):
        path = build.path / "c_tests" / program
        result = subprocess.run([path], capture_output=True, text=True, timeout=60, check=False)
        assert (result.returncode, result.stdout + result.stderr) == (0, "")
