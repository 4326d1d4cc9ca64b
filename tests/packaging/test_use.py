# SPDX-License-Identifier: Apache-2.0
"""Programs find, build against and run the library wherever it was installed."""

import contextlib
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builds import (
    APIS,
    BASE_PYTHON,
    ROOT,
    V1,
    V4,
    Api,
    Installed,
    each_api,
    environment,
    run,
)
from support.installations import (
    BASE_PREFIX,
    NOBODY,
    PYTHON_EXCHANGE,
    build_plain,
    dynamic_section,
    flags_by_python,
    pkg_config,
)


@each_api
def test_pkg_config_has_what_a_program_needs(installed, tmp_path, api):
    flags = pkg_config(installed, api.package, "--cflags", "--libs")
    program = tmp_path / "program"
    build_plain(program, api, *flags)
    folder = installed.library(api).parent
    run([program, tmp_path / "socket"], env={"LD_LIBRARY_PATH": str(folder)}, cwd="/")


def test_a_v4_program_finds_its_library_where_pkg_config_did(plain, tmp_path):
    program = tmp_path / "program"
    build_plain(program, V4, *pkg_config(plain, V4.package, "--cflags", "--libs"))
    run([program, tmp_path / "socket"], env={}, cwd="/")


def test_pkg_config_says_nothing_of_the_systems_own_folders(usr, usr_v4):
    for installed in (usr, usr_v4):
        own = installed.library_dir.relative_to(installed.root)
        system = {"-I/usr/include", f"-L/{own}", f"-Wl,-rpath,/{own}"}
        path = str(installed.library_dir / "pkgconfig")
        for package in ("libmemif", *(api.package for api in APIS)):
            command = ["pkg-config", "--cflags", "--libs", package]
            words = run(command, env=environment(PKG_CONFIG_LIBDIR=path)).stdout.split()
            assert system.isdisjoint(words)
            assert not any(str(installed.root) in word for word in words)


def test_programs_of_the_default_interface_just_build(default, tmp_path):
    installed, api = default
    program = tmp_path / "program"
    folder = installed.library_dir
    build_plain(program, api, f"-I{installed.include_dir}", f"-L{folder}", "-lmemif")
    run([program, tmp_path / "socket"], env={"LD_LIBRARY_PATH": str(folder)}, cwd="/")
    flags = pkg_config(installed, "libmemif", "--cflags", "--libs")
    build_plain(program, api, *flags)
    run([program, tmp_path / "socket"], env={"LD_LIBRARY_PATH": str(folder)}, cwd="/")


@pytest.fixture(params=APIS, ids=str)
def prebuilt(request, tmp_path) -> tuple[Api, Path]:
    """A program that was linked elsewhere, with a library that only has the names."""
    api = request.param
    source, folder = tmp_path / "names.c", tmp_path / "elsewhere"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in api.exported))
    folder.mkdir()
    stub = folder / "libmemif.so"
    run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{api.soname}", "-o", stub, source])
    include = ROOT / "include" / api.headers
    build_plain(tmp_path / "program", api, f"-I{include}", f"-L{folder}", "-lmemif")
    shutil.rmtree(folder)
    return api, tmp_path / "program"


def test_a_program_that_was_linked_elsewhere_runs(installed, prebuilt, tmp_path):
    api, program = prebuilt
    section = dynamic_section(program)
    assert "RPATH" not in section
    assert "RUNPATH" not in section
    variables = {"LD_LIBRARY_PATH": str(installed.library(api).parent)}
    run([program, tmp_path / "socket"], env=variables, cwd="/")


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="libmemif_"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def hidden(folder: Path) -> Iterator[None]:
    """Nobody but root can look into the folder."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    try:
        yield
    finally:
        folder.chmod(mode)


def can_be_read_by_others(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o5 == 0o5 for path in (folder, *folder.parents))


def as_another_user() -> list[str]:
    """Root becomes nobody, if nobody can reach the interpreter; others stay who they are."""
    if os.geteuid() != 0 or not can_be_read_by_others(BASE_PREFIX / "lib"):
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@each_api
def test_other_users_can_run_programs_without_the_folders_of_the_build(plain, api):
    with open_folder() as folder:
        installed = plain.copy(folder / "prefix")
        program = installed.compile(folder / "program", ["plain.c", api.exchange], api=api)
        sockets = folder / "sockets"
        sockets.mkdir()
        sockets.chmod(0o1777)
        # Others use the prefix. It lies in a folder of pytest, which only its owner can enter.
        with hidden(plain.prefix.parent / "build"):
            run([*as_another_user(), program, sockets / "socket"], env={}, cwd="/")


@each_api
def test_the_prefix_can_be_moved(plain, tmp_path, api):
    moved = plain.copy(tmp_path / "moved")
    program = moved.compile(tmp_path / "program", ["plain.c", api.exchange], api=api)
    run([program, tmp_path / "socket"], env={})
    words = pkg_config(moved, api.package, "--define-prefix", "--cflags", "--libs")
    assert f"-I{moved.include_dir / api.headers}" in words
    assert f"-L{moved.library(api).parent}" in words


@each_api
def test_python_has_what_a_program_needs(installed, tmp_path, api):
    variables = {"PYTHONPATH": str(installed.package.parent)}
    flags = flags_by_python(BASE_PYTHON, api, env=variables, cwd=tmp_path)
    assert f"-I{installed.include_dir / api.headers}" in flags
    build_plain(tmp_path / "program", api, *flags)
    run([tmp_path / "program", tmp_path / "socket"], env={}, cwd="/")


def test_python_takes_a_program_for_one_of_v1_unless_told(plain, tmp_path):
    variables = {"PYTHONPATH": str(plain.package.parent)}
    command = [BASE_PYTHON, "-m", "libmemif_py", "--cflags", "--libs"]
    told = flags_by_python(BASE_PYTHON, V1, env=variables, cwd=tmp_path)
    assert run(command, env=variables, cwd=tmp_path).stdout.split() == told


def test_python_imports_the_package_from_a_prefix(installed, tmp_path):
    variables = {"PYTHONPATH": str(installed.package.parent)}
    command = [BASE_PYTHON, "-P", PYTHON_EXCHANGE, tmp_path / "socket"]
    assert run(command, env=variables, cwd=tmp_path).stdout == "good\n"


def libraries_of(files: list[Path]) -> set[Path]:
    """What the dynamic linker loads for them, and the linker."""
    listed = "".join(run(["ldd", path]).stdout for path in files)
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}


def copy_into(root: Path, path: Path) -> None:
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


def small_system(root: Path, usr: Installed, program: Path) -> None:
    """The staged installation, the standard library and the C library: nothing else, no python."""
    shutil.copytree(usr.root, root, symlinks=True)
    stdlib = Path(sysconfig.get_path("stdlib"))
    unused = shutil.ignore_patterns("test", "config-*", "site-packages", "__pycache__")
    shutil.copytree(stdlib, root / stdlib.relative_to("/"), ignore=unused, dirs_exist_ok=True)
    extensions = [*usr.package.glob("**/*.so"), *(stdlib / "lib-dynload").glob("_socket.*")]
    libraries = [usr.library(api) for api in APIS]
    for path in libraries_of([*libraries, program, *extensions]):
        if not path.is_relative_to(usr.root):
            copy_into(root, path)
    (root / "etc").mkdir()
    folder = usr.library_dir.relative_to(usr.root)
    (root / "etc" / "ld.so.conf").write_text(f"/{folder}\n")
    (root / "tmp").mkdir()
    shutil.copy(program, root / "program")


def in_new_root() -> list[str]:
    """What gives the right to change the root folder; root has it already."""
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]


def test_ldconfig_finds_the_library_of_a_real_installation(default, tmp_path):
    installed, api = default
    program = tmp_path / "program"
    build_plain(program, api, *pkg_config(installed, "libmemif", "--cflags", "--libs"))
    root = tmp_path / "root"
    small_system(root, installed, program)
    sbin = environment(PATH=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    run([*in_new_root(), "ldconfig", "-r", root], env=sbin)
    chroot = shutil.which("chroot", path=sbin["PATH"])
    command = [*in_new_root(), chroot, root, "/program", "/tmp/socket"]
    result = subprocess.run(command, env={}, capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
