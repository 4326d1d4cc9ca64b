# SPDX-License-Identifier: Apache-2.0
"""`meson test` runs the C tests, for whoever makes packages, and fails when one of them does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

C_TESTS = Path(__file__).parents[2] / "c_tests"
SUPPORT = C_TESTS / "support"
MESON = [sys.executable, "-m", "mesonbuild.mesonmain"]
PROJECT = f"""
project('sample', 'c', default_options: ['c_std=gnu11'])
check = dependency('check')
program = executable(
  'test_sample', 'test_sample.c',
  include_directories: include_directories('{SUPPORT}'), dependencies: check)
python = import('python').find_installation()
test('test_sample', python, args: ['{SUPPORT}/run_each.py', program], protocol: 'tap')
"""


def meson(*arguments, timeout=120):
    command = [*MESON, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def build(pytestconfig):
    return pytestconfig.rootpath / "build"


def programs(build):
    """The tests of the build, as "suite/name"."""
    tests = json.loads(meson("introspect", "--tests", build).stdout)
    return {f"{test['suite'][0].rpartition(':')[2]}/{test['name']}" for test in tests}


def test_each_program_with_c_tests_is_a_test_of_the_build(build):
    sources = {path.relative_to(C_TESTS).with_suffix("") for path in C_TESTS.glob("*/test_*.c")}
    headers = {f"{api}/{program}" for api in ("v1", "v4") for program in ("layout", "headers")}
    assert programs(build) == {*map(str, sources), *headers}


@pytest.mark.parametrize(
    "program", ["v1/test_details", "v4/test_refill", "both/test_beside", "core/test_barriers"]
)
def test_the_c_tests_pass_in_the_build_tree(build, program):
    """A quick program of each kind; all of them run under pytest anyway."""
    suite, name = program.split("/")
    result = meson("test", "-C", build, "--no-rebuild", "--suite", suite, name)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^Ok: +1\s*$", result.stdout, re.M)


BROKEN = {
    "a check that does not hold": "ck_assert_int_eq(1 + 1, 3);",
    "a crash": "abort();",
    "an exit": "exit(7);",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_broken_c_test_fails_and_is_named(tmp_path, code):
    (tmp_path / "meson.build").write_text(PROJECT)
    (tmp_path / "test_sample.c").write_text(
        '#include "harness.h"\n'
        "MEMIF_TEST(holds) { ck_assert(1); }\n"
        f"MEMIF_TEST(breaks) {{ {code} }}\n"
        'MEMIF_TEST_MAIN("sample")\n'
    )
    assert meson("setup", tmp_path / "build", tmp_path).returncode == 0
    result = meson("test", "-C", tmp_path / "build", "--verbose")
    assert result.returncode != 0
    assert re.search(r"holds +.*OK", result.stdout), result.stdout
    assert re.search(r"breaks +.*FAIL", result.stdout), result.stdout


def test_a_program_without_tests_fails(tmp_path):
    (tmp_path / "meson.build").write_text(PROJECT)
    (tmp_path / "test_sample.c").write_text('#include "harness.h"\nMEMIF_TEST_MAIN("sample")\n')
    assert meson("setup", tmp_path / "build", tmp_path).returncode == 0
    assert meson("test", "-C", tmp_path / "build").returncode != 0
