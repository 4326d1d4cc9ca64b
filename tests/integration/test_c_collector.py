# SPDX-License-Identifier: Apache-2.0
import os
import select
import shlex
import subprocess
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "c_tests" / "support"
MAIN = 'MEMIF_TEST_MAIN("sample")\n'


class Sample:
    """A project with one C test file, and pytest to run it with the collector."""

    def __init__(self, pytester: pytest.Pytester):
        self.pytester = pytester
        self.source = pytester.path / "c_tests" / "v1" / "test_sample.c"
        self.source.parent.mkdir(parents=True)
        self.source.touch()

    def build(self, code: str, directory: str = "build") -> None:
        self.source.write_text(f'#include "harness.h"\n#include <unistd.h>\n{code}')
        program = self.pytester.path / directory / "c_tests" / "v1" / "test_sample"
        program.parent.mkdir(parents=True)
        pkg_config = ["pkg-config", "--cflags", "--libs", "check"]
        flags = subprocess.run(pkg_config, check=True, capture_output=True, text=True).stdout
        source = os.path.relpath(self.source, self.pytester.path / directory)
        subprocess.run(
            ["cc", "-Wall", "-Werror", f"-I{HARNESS}", source, "-o", program, *shlex.split(flags)],
            check=True,
            cwd=self.pytester.path / directory,
        )

    def run(self, *arguments: str) -> pytest.RunResult:
        # Without the plugin of hypothesis, which every inner run would import anew.
        return self.pytester.runpytest(
            "-p", "no:hypothesispytest", "-p", "support.c_collector", "-v", *arguments
        )


@pytest.fixture
def sample(pytester):
    return Sample(pytester)


def test_a_test_that_holds_passes(sample):
    sample.build("MEMIF_TEST(holds) { ck_assert(1); }" + MAIN)
    result = sample.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["c_tests/v1/test_sample.c::holds PASSED*"])


def test_a_failure_shows_the_line_the_iteration_and_the_message(sample):
    sample.build(
        "MEMIF_TEST(holds) { ck_assert(1); }\n"
        "MEMIF_TEST_LOOP(breaks, 0, 5)\n"
        "{\n"
        '    ck_assert_msg(_i != 3, "no <%d> here", _i);\n'
        "}\n" + MAIN
    )
    result = sample.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["c_tests/v1/test_sample.c:6: iteration 3: no <3> here"])


def test_a_crash_fails_its_test_only_and_names_the_signal(sample):
    sample.build(
        "MEMIF_TEST(holds) { ck_assert(1); }\n"
        'MEMIF_TEST(crashes) { puts("last words"); fflush(stdout); abort(); }\n' + MAIN
    )
    result = sample.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["crashes: ended by SIGABRT", "*last words*"])


def test_a_test_without_end_fails_after_the_timeout(sample):
    sample.build("MEMIF_TEST(hangs) { for (;;) pause(); }" + MAIN)
    result = sample.run("-o", "c_test_timeout=0.2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["hangs: killed after 0.2 s without an end"])


def test_what_a_test_leaves_behind_ends_with_it(sample, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sample.build(
        "#include <fcntl.h>\n"
        "MEMIF_TEST(forks)\n"
        "{\n"
        f'    ck_assert_int_ge(open("{fifo}", O_WRONLY), 0);\n'
        "    if (fork() == 0)\n"
        "        for (;;) pause();\n"
        "}\n" + MAIN
    )
    sample.run().assert_outcomes(passed=1)
    poller = select.poll()
    poller.register(reader, 0)
    events = poller.poll(10_000)
    os.close(reader)
    assert events == [(reader, select.POLLHUP)]


def test_a_file_without_tests_fails(sample):
    sample.build(MAIN)
    result = sample.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*/build/c_tests/v1/test_sample holds no test"])


def test_a_program_that_was_not_built_fails_and_says_how_to_build_it(sample):
    result = sample.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*/test_sample does not exist: *`meson compile -C */build`*"])


def test_a_program_that_cannot_list_its_tests_fails(sample):
    sample.build("int main(void) { return 7; }")
    result = sample.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*/test_sample --list: exit status 7"])


def test_a_test_that_did_not_run_fails(sample):
    sample.build(
        "MEMIF_TEST(real) { ck_assert(1); }\n"
        "int main(int argc, char **argv)\n"
        "{\n"
        '    if (argc > 1) puts("ghost"); else memif_test_main("sample", argc, argv);\n'
        "    return 0;\n"
        "}\n"
    )
    result = sample.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["ghost: no test ran"])


def test_a_program_that_fails_after_its_test_fails(sample):
    sample.build(
        "static void at_exit(void) { _exit(3); }\nMEMIF_TEST(holds) { atexit(at_exit); }\n" + MAIN
    )
    result = sample.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["holds: exit status 3"])


def test_one_test_can_be_selected(sample):
    sample.build("MEMIF_TEST(one) {}\nMEMIF_TEST(other) {}\n" + MAIN)
    sample.run("-k", "other").assert_outcomes(passed=1, deselected=1)


def test_labelled_build_directories_give_labelled_tests(sample):
    code = "MEMIF_TEST(holds) {}\n" + MAIN
    sample.build(code)
    sample.build(code, directory="elsewhere")
    result = sample.run("--c-build-dir", "build", "--c-build-dir", "asan=elsewhere")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["c_tests/v1/test_sample.c::holds PASSED*", "c_tests/v1/test_sample.c::holds?asan? PASSED*"]
    )


def test_build_directories_come_from_the_configuration(sample):
    sample.build("MEMIF_TEST(holds) {}\n" + MAIN, directory="elsewhere")
    sample.pytester.makeini("[pytest]\nc_build_dirs = asan=elsewhere\n")
    result = sample.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["c_tests/v1/test_sample.c::holds?asan? PASSED*"])
