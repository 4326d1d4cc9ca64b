# SPDX-License-Identifier: Apache-2.0
"""What is installed where, by meson and by pip, and that programs find and run it there."""

import _imp
import contextlib
import importlib.util
import marshal
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import builds
import pytest
from builds import BASE_PYTHON, ROOT, Installed, environment, run

EXPORTED = (ROOT / "tests" / "exported_1_0.txt").read_text().split()
MODULES = {path.name for path in (ROOT / "libmemif_py").glob("*.py")} | {"_install.py"}
EXTENSION_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
BASE_PREFIX = Path(sys.base_prefix)
NOBODY = "65534"

PYTHON_EXCHANGE = """
import sys
from libmemif_py import Interface
with (
    Interface(sys.argv[1], role="master", id=5) as master,
    Interface(sys.argv[1], role="slave", id=5) as slave,
):
    slave.send(b"packet", 20)
    print(master.recv(20), slave.connected)
"""


# ---- layouts


def make_venv(folder: Path, *options: str) -> Path:
    """A virtual environment on the interpreter below ours; returns its python."""
    run([BASE_PYTHON, "-I", "-m", "venv", *options, folder])
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Installed:
    return builds.release(tmp_path_factory)


@pytest.fixture(scope="module")
def usr(tmp_path_factory) -> Installed:
    """Staged for /usr, with the system's own folder for libraries."""
    folder = tmp_path_factory.mktemp("usr")
    return builds.build_and_install(folder / "build", Path("/usr"), root=folder / "root")


@pytest.fixture(scope="module")
def in_venv(tmp_path_factory) -> Installed:
    folder = tmp_path_factory.mktemp("in_venv")
    make_venv(folder / "venv", "--without-pip")
    options = ("--libdir=lib", "-Dexamples=true")
    return builds.build_and_install(folder / "build", folder / "venv", *options)


@pytest.fixture(params=["plain", "usr", "in_venv"])
def installed(request) -> Installed:
    return request.getfixturevalue(request.param)


def files_below(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(folder)) for path in found}


def package_files() -> set[str]:
    compiled = {importlib.util.cache_from_source(name) for name in MODULES}
    return {*MODULES, *compiled, "py.typed", f"_native{EXTENSION_SUFFIX}"}


# ---- files


def test_the_package_is_installed_byte_compiled(installed):
    files = {name for name in files_below(installed.package) if not name.startswith("_runtime/")}
    assert files == package_files()


def test_nothing_else_is_installed(plain, usr):
    for installed in (plain, usr):
        library_dir = installed.library_dir.relative_to(installed.tree)
        package = installed.package.relative_to(installed.tree)
        expected = {
            *(f"{library_dir}/{name}" for name in ("libmemif.so", "libmemif.so.0")),
            f"{library_dir}/pkgconfig/libmemif.pc",
            *(f"include/{name}" for name in ("libmemif.h", "memif.h")),
            *(f"{package}/{name}" for name in files_below(installed.package)),
        }
        assert files_below(installed.tree) == expected
    assert [path.name for path in usr.root.iterdir()] == ["usr"]


def test_the_name_for_linking_is_a_link(installed):
    link = installed.library_dir / "libmemif.so"
    assert os.readlink(link) == "libmemif.so.0"


def test_a_venv_imports_what_its_prefix_got(in_venv, tmp_path):
    python = in_venv.prefix / "bin" / "python"
    result = run([python, "-c", PYTHON_EXCHANGE, tmp_path / "socket"], cwd=tmp_path)
    assert result.stdout == "b'packet' True\n"


def test_examples_are_installed_when_asked_for(in_venv):
    names = ("icmp_responder", "icmp_responder2", "icmpr_lep", "icmp_responder3")
    for name in names:
        run([in_venv.prefix / "bin" / name, "-h"], env={})


def test_bytecode_survives_a_copy_that_does_not_keep_times(installed):
    for source in installed.package.glob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[4:8] == b"\x03\0\0\0", "expected bytecode checked by its source's hash"
        key = _imp.source_hash(importlib.util._RAW_MAGIC_NUMBER, source.read_bytes())
        assert compiled[8:16] == key
        code = marshal.loads(compiled[16:])  # noqa: S302 - just written by the build
        where = installed.prefix / source.relative_to(installed.tree)
        assert code.co_filename == str(where), "expected the path without the staging folder"


# ---- the library file


def dynamic_section(library: Path) -> dict[str, list[str]]:
    entries: dict[str, list[str]] = {}
    for line in run(["readelf", "--wide", "-d", library]).stdout.splitlines():
        if match := re.match(r"\s*0x[0-9a-f]+ \((\w+)\)\s+(.*)", line):
            entries.setdefault(match[1], []).append(match[2])
    return entries


def bracketed(values: list[str]) -> list[str]:
    return [re.search(r"\[(.*)\]", value)[1] for value in values]


def test_exactly_the_promised_names_are_exported(installed):
    lines = run(["nm", "-D", "--defined-only", installed.library]).stdout.splitlines()
    assert sorted(line.split()[-1] for line in lines) == EXPORTED


def test_programs_are_linked_against_soname_0_and_need_nothing_unexpected(installed):
    section = dynamic_section(installed.library)
    assert bracketed(section["SONAME"]) == ["libmemif.so.0"]
    needed = bracketed(section["NEEDED"])
    python = sysconfig.get_config_var("INSTSONAME")
    assert python in needed
    allowed = re.compile(r"lib(c|dl|pthread)\.so\.\d|ld-linux[-\w]*\.so\.\d")
    assert [name for name in needed if name != python and not allowed.fullmatch(name)] == []


def test_the_library_is_bound_at_load_and_stays_loaded(installed):
    flags = dynamic_section(installed.library)["FLAGS_1"]
    assert "NOW" in flags[0].split()
    assert "NODELETE" in flags[0].split()


def test_no_executable_stack_and_no_text_relocations(installed):
    segments = run(["readelf", "--wide", "-l", installed.library]).stdout
    (stack,) = [line.split() for line in segments.splitlines() if "GNU_STACK" in line]
    assert "RW" in stack
    assert "GNU_RELRO" in segments
    section = dynamic_section(installed.library)
    assert "TEXTREL" not in section
    assert not any("TEXTREL" in flags for flags in section.get("FLAGS", []))


def test_the_run_path_leads_to_libpython_at_most(installed):
    section = dynamic_section(installed.library)
    assert "RPATH" not in section
    libdir = sysconfig.get_config_var("LIBDIR")
    assert bracketed(section.get("RUNPATH", [])) in ([], [libdir])


# ---- C programs


def pkg_config(installed: Installed, *arguments: str) -> list[str]:
    path = str(installed.library_dir / "pkgconfig")
    root = {} if installed.root == Path("/") else {"PKG_CONFIG_SYSROOT_DIR": str(installed.root)}
    variables = environment(PKG_CONFIG_LIBDIR=path, **root)
    return run(["pkg-config", *arguments, "libmemif"], env=variables).stdout.split()


def test_pkg_config_has_what_a_program_needs(installed, tmp_path):
    flags = pkg_config(installed, "--cflags", "--libs")
    rpath = f"-Wl,-rpath,{installed.library_dir}"
    program = tmp_path / "program"
    builds.compile_host(program, ["plain.c", "exchange.c"], *flags, rpath)
    assert bracketed(dynamic_section(program)["NEEDED"])[0] == "libmemif.so.0"
    run([program, tmp_path / "socket"], env={}, cwd="/")


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


def test_other_users_can_run_programs_without_the_folders_of_the_build(plain):
    with open_folder() as folder:
        installed = plain.copy(folder / "prefix")
        program = installed.compile(folder / "program", ["plain.c", "exchange.c"])
        sockets = folder / "sockets"
        sockets.mkdir()
        sockets.chmod(0o1777)
        with hidden(plain.prefix.parent):
            run([*as_another_user(), program, sockets / "socket"], env={}, cwd="/")


def test_the_prefix_can_be_moved(plain, tmp_path):
    moved = plain.copy(tmp_path / "moved")
    program = moved.compile(tmp_path / "program", ["plain.c", "exchange.c"])
    run([program, tmp_path / "socket"], env={})
    variables = {"PYTHONPATH": str(moved.package.parent)}
    command = [BASE_PYTHON, "-m", "libmemif_py", "--cflags", "--libs"]
    words = run(command, env=variables, cwd=tmp_path).stdout.split()
    assert f"-I{moved.include_dir}" in words
    assert f"-L{moved.library_dir}" in words


def test_python_imports_the_package_from_a_prefix(installed, tmp_path):
    variables = {"PYTHONPATH": str(installed.package.parent)}
    command = [BASE_PYTHON, "-c", PYTHON_EXCHANGE, tmp_path / "socket"]
    assert run(command, env=variables, cwd=tmp_path).stdout == "b'packet' True\n"


# ---- a whole system, as small as it gets


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
    for path in libraries_of([usr.library, program, *extensions]):
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


def test_ldconfig_finds_the_library_of_a_real_installation(usr, tmp_path):
    program = tmp_path / "program"
    usr.link(program, ["plain.c", "exchange.c"])
    root = tmp_path / "root"
    small_system(root, usr, program)
    sbin = environment(PATH=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    run([*in_new_root(), "ldconfig", "-r", root], env=sbin)
    chroot = shutil.which("chroot", path=sbin["PATH"])
    command = [*in_new_root(), chroot, root, "/program", "/tmp/socket"]
    result = subprocess.run(command, env={}, capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


# ---- pip


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy, to see what building from it leaves there."""
    folder = tmp_path_factory.mktemp("sources") / "libmemif-py"
    unwanted = shutil.ignore_patterns("build", "build-*", ".*", "__pycache__", "dist")
    return shutil.copytree(ROOT, folder, ignore=unwanted)


def pip(python: Path, *arguments: Path | str) -> str:
    options = ("--disable-pip-version-check", "--no-input", "--quiet")
    command = [python, "-I", "-m", "pip", *options, *arguments]
    return run(command, timeout=300).stdout


@pytest.fixture(scope="module")
def pip_venv(tmp_path_factory, sources) -> Path:
    """The python of a venv into which `pip install FOLDER` put the package."""
    python = make_venv(tmp_path_factory.mktemp("pip") / "venv")
    before = files_below(sources)
    pip(python, "install", sources)
    assert files_below(sources) == before
    return python


@pytest.fixture(scope="module")
def wheels(tmp_path_factory, sources, pip_venv) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    pip(pip_venv, "wheel", "--wheel-dir", folder, sources)
    return folder


def check_pip_installation(python: Path, folder: Path) -> None:
    """Builds and runs a C program as the package says, and imports the package."""
    command = [python, "-I", "-m", "libmemif_py", "--cflags", "--libs"]
    flags = run(command).stdout.split()
    program = folder / "program"
    builds.compile_host(program, ["plain.c", "exchange.c"], *flags)
    run([program, folder / "c-socket"], env={}, cwd="/")
    command = [python, "-I", "-c", PYTHON_EXCHANGE, folder / "python-socket"]
    assert run(command).stdout == "b'packet' True\n"


def package_of(python: Path) -> Path:
    code = "import libmemif_py; print(libmemif_py.__path__[0])"
    return Path(run([python, "-I", "-c", code]).stdout.strip())


def test_pip_install_gives_a_package_with_library_and_headers(pip_venv, tmp_path):
    files = files_below(package_of(pip_venv))
    headers = {"include/libmemif.h", "include/memif.h"}
    assert files == package_files() | headers | {"libmemif.so"}
    check_pip_installation(pip_venv, tmp_path)


def test_a_wheel_can_be_installed_elsewhere(wheels, tmp_path):
    python = make_venv(tmp_path / "venv")
    pip(python, "install", "--no-index", "--find-links", wheels, "libmemif-py")
    check_pip_installation(python, tmp_path)


def test_the_library_of_a_wheel_exports_the_same(pip_venv):
    library = package_of(pip_venv) / "libmemif.so"
    lines = run(["nm", "-D", "--defined-only", library]).stdout.splitlines()
    assert sorted(line.split()[-1] for line in lines) == EXPORTED
    assert bracketed(dynamic_section(library)["SONAME"]) == ["libmemif.so"]


# ---- the version


def test_the_version_is_the_same_everywhere(plain, pip_venv):
    declared = re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.M)[1]
    (modversion,) = pkg_config(plain, "--modversion")
    metadata = "from importlib.metadata import version; print(version('libmemif-py'))"
    told = run([pip_venv, "-I", "-m", "libmemif_py", "--version"]).stdout
    assert modversion == declared
    assert run([pip_venv, "-I", "-c", metadata]).stdout == f"{declared}\n"
    assert told == f"libmemif-py {declared}\n"
