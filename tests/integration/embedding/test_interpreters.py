# SPDX-License-Identifier: Apache-2.0
"""Programs that have a Python of their own."""

import re
import sys
import sysconfig
from pathlib import Path

import pytest
from support import builds
from support.builds import BASE_PYTHON, PYTHON, each_api, run
from support.embedding import COMPLAINT, TWO_CALLS, assert_refused, codes, silently


@each_api
@pytest.mark.parametrize("python", [PYTHON, BASE_PYTHON], ids=["venv", "base"])
@pytest.mark.parametrize("how", ["plain", "package-first", "capsule-first", "leave-open"])
def test_a_python_program_shares_its_interpreter(installed, tmp_path, python, how, api):
    program = [python, builds.PROGRAMS / "ctypes_program.py", installed.library(api), api.name]
    variables = {"PYTHONPATH": str(installed.package.parent)}
    silently([*program, tmp_path / "socket", how], env=variables)


@each_api
def test_a_program_that_ends_its_python_gets_errors(compiled, tmp_path, api):
    """Its embedded interpreter is there before the library comes, and goes before it."""
    config = sysconfig.get_config_var
    folders = [f"-L{config('LIBDIR')}", f"-Wl,-rpath,{config('LIBDIR')}"]
    flags = (f"-I{sysconfig.get_path('include')}", *folders, f"-lpython{config('LDVERSION')}")
    program = compiled("embedder", api=api, flags=flags)
    silently([program, tmp_path / "socket"], env={})


@each_api
def test_an_extension_may_call_with_the_gil_held(compiled, tmp_path, api):
    include = f"-I{sysconfig.get_path('include')}"
    flags = ("-shared", "-fPIC", include)
    module = compiled("extension.so", "extension.c", api=api, flags=flags)
    path = repr(str(tmp_path / "socket"))
    calls = f"e.begin({path}), e.exchange({path}), e.end(), e.begin({path})"
    command = [BASE_PYTHON, "-c", f"import extension as e; print({calls})"]
    result = run(command, env={"PYTHONPATH": str(module.parent)})
    assert (result.stdout, result.stderr) == ("0 0 0 0\n", "")


@each_api
def test_a_program_of_another_python_version_gets_an_error(compiled, tmp_path, api):
    sources = ("codes.c", "other_version.c")
    program = compiled("other_version", *sources, api=api, flags=("-rdynamic",))
    assert_refused(*codes(program, tmp_path / "socket", env={}), "3.99.0")


def other_pythons() -> list[Path]:
    """Interpreters of this machine, of other minor versions than ours."""
    places = [Path("/usr/bin"), Path("/usr/local/bin"), *Path.home().glob(".pyenv/versions/*/bin")]
    found = {path.resolve() for place in places for path in place.glob("python3.*")}
    name = re.compile(r"python3\.(\d+)")
    minors = {path: name.fullmatch(path.name) for path in found}
    return sorted(
        p for p, match in minors.items() if match and int(match[1]) != sys.version_info[1]
    )


@each_api
def test_other_pythons_of_this_machine_are_not_aborted(installed, api):
    """There may be none; the test before this one does without."""
    for python in other_pythons():
        result = run([python, "-c", TWO_CALLS, installed.library(api)], status=None, env={})
        refused = result.stdout == "1 1\n" and result.stderr.startswith(COMPLAINT)
        unloadable = result.returncode == 1 and result.stderr.startswith("not loaded: ")
        assert refused or unloadable, (python, result)
        assert result.stderr.count("\n") == 1, (python, result)
