# SPDX-License-Identifier: Apache-2.0
"""Programs of every kind load it, call it from any thread, and are left as they were."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support import builds
from support.builds import V1, V4, each_api
from support.embedding import silently


def everything_in(folder: Path) -> dict[str, tuple]:
    """Every file with what changes when it is touched, and what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        found[str(path)] = (about.st_mode, about.st_mtime_ns, about.st_ctime_ns, about.st_size)
    return found


@each_api
def test_a_program_leaves_nothing_behind_in_any_folder(installed, tmp_path, api):
    """Not in the installation, in folders that programs use, nor beside its socket."""
    copy = installed.copy(tmp_path / "prefix")
    for cache in copy.tree.rglob("__pycache__"):
        shutil.rmtree(cache)  # what is missing could be written
    program = copy.compile(tmp_path / "plain", ["plain.c", api.exchange], api=api)
    variables = ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    variables += ("XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "RUNTIME_DIRECTORY")
    folders = {name: tmp_path / name for name in variables}
    for folder in (*folders.values(), tmp_path / "work", tmp_path / "sockets"):
        folder.mkdir()
    before = everything_in(tmp_path)
    environment = {name: str(folder) for name, folder in folders.items()}
    silently([program, tmp_path / "sockets" / "socket"], env=environment, cwd=tmp_path / "work")
    after = everything_in(tmp_path)
    sockets = str(tmp_path / "sockets")  # the folder itself: a file came and went
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {sockets}


@each_api
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_belongs_to_the_program_is_as_it_was(compiled, tmp_path, locale, api):
    variables = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    silently([compiled("unchanged", api=api), tmp_path / "socket", locale], env=variables)


@pytest.fixture(scope="module")
def plugin(compiled):
    """Compiles programs/plugin.c."""
    return lambda api: compiled("plugin.so", "plugin.c", api=api, flags=("-shared", "-fPIC"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Compiles a program that is linked with neither library."""
    folder = tmp_path_factory.mktemp("bare")
    return lambda name: builds.compile_program(folder / name, [f"{name}.c"])


@each_api
def test_a_program_can_load_its_plugin_twice_with_local_names(bare, plugin, tmp_path, api):
    silently([bare("plugin_loader"), plugin(api), tmp_path / "socket"], env={})


def test_both_libraries_may_start_at_the_same_moment_in_one_process(bare, plugin, tmp_path):
    plugins = {api: plugin(api) for api in (V1, V4)}
    program = bare("two_plugins")
    for i in range(100):
        sockets = [tmp_path / f"socket{i}-{api}" for api in plugins]
        pairs = zip(plugins.values(), sockets, strict=True)
        silently([program, *(word for pair in pairs for word in pair)], env={})


@each_api
def test_a_program_without_standard_streams(compiled, tmp_path, api):
    silently([compiled("plain", api=api), tmp_path / "socket", "closed"], env={})


@each_api
def test_of_two_first_calls_at_the_same_moment_one_wins(compiled, tmp_path, api):
    program = compiled("threads", api=api)
    for i in range(50):
        silently([program, tmp_path / f"socket{i}", "race"], env={})


@each_api
def test_a_thread_with_a_small_stack_may_make_the_first_call(compiled, tmp_path, api):
    silently([compiled("threads", api=api), tmp_path / "socket", "small"], env={})


@each_api
def test_signals_stay_the_programs_and_disturb_nothing(compiled, tmp_path, api):
    silently([compiled("signals", api=api), tmp_path / "socket", "own"], env={})


@each_api
def test_sigint_ends_a_program_that_does_not_handle_it(compiled, tmp_path, api):
    command = [compiled("signals", api=api), tmp_path / "socket", "wait"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.defpath}
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == -signal.SIGINT
            assert process.stderr.read() == b""
        finally:
            process.kill()
