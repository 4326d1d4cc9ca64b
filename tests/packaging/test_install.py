# SPDX-License-Identifier: Apache-2.0
"""What is installed where, by meson and by pip, and that programs find and run it there."""

import _imp
import contextlib
import importlib.util
import json
import marshal
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import builds, elf
from support.builds import (
    APIS,
    BASE_PYTHON,
    PYTHON,
    ROOT,
    SUPPORT,
    V1,
    V4,
    Api,
    Installed,
    each_api,
    environment,
    run,
)

HEADERS = ("libmemif.h", "memif.h")
# A wheel cannot hold links, so these are the names for linking.
WHEEL_LIBRARIES = {V1: "libmemif.so", V4: "libmemif4/libmemif.so"}
SOURCES = ROOT / "libmemif_py"
STUBS = {path.name for path in SOURCES.glob("*.pyi")}
MODULES = {
    "_install.py",
    *(
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if "native" not in path.relative_to(SOURCES).parts
    ),
}
EXTENSION_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
BASE_PREFIX = Path(sys.base_prefix)
NOBODY = "65534"

PYTHON_EXCHANGE = SUPPORT / "exchanges.py"
# What of a checkout a build from a source distribution needs, and what describes it.
OF_A_SDIST = {
    "CHANGELOG.md",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "docs",
    "examples",
    "include",
    "libmemif_py",
    "meson.build",
    "meson.options",
    "pyproject.toml",
}


# ---- layouts


def make_venv(folder: Path, *options: str, on: Path = BASE_PYTHON) -> Path:
    """A virtual environment, if not told otherwise on the interpreter below ours; its python."""
    run([on, "-I", "-m", "venv", *options, folder])
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
def usr_v4(tmp_path_factory) -> Installed:
    """The same with the plain names given to the 4.0 interface."""
    folder = tmp_path_factory.mktemp("usr_v4")
    options = ("-Ddefault_api=4.0",)
    return builds.build_and_install(folder / "build", Path("/usr"), *options, root=folder / "root")


@pytest.fixture(scope="module")
def in_venv(tmp_path_factory) -> Installed:
    folder = tmp_path_factory.mktemp("in_venv")
    make_venv(folder / "venv", "--without-pip")
    options = ("--libdir=lib", "-Dexamples=true")
    return builds.build_and_install(folder / "build", folder / "venv", *options)


@pytest.fixture(params=["plain", "usr", "usr_v4", "in_venv"])
def installed(request) -> Installed:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["usr", "usr_v4"])
def default(request) -> tuple[Installed, Api]:
    """An installation, and the interface that has the plain names there."""
    api = V1 if request.param == "usr" else V4
    return request.getfixturevalue(request.param), api


def files_below(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(folder)) for path in found}


def package_files() -> set[str]:
    compiled = {importlib.util.cache_from_source(name) for name in MODULES}
    return {*MODULES, *compiled, *STUBS, "py.typed", f"_native{EXTENSION_SUFFIX}"}


# ---- files


def test_the_package_is_installed_byte_compiled(installed):
    files = {name for name in files_below(installed.package) if not name.startswith("_runtime/")}
    assert files == package_files()


def header_files() -> set[str]:
    """Of each interface in its folder, and those of the default one."""
    folders = ["", *(f"{api.headers}/" for api in APIS)]
    return {f"include/{folder}{name}" for folder in folders for name in HEADERS}


def manual_pages() -> set[str]:
    """One for each function of each interface, and an overview of each interface."""
    # The older name of memif_get_socket_path, which no header declares.
    shown = ((api, name) for api in APIS for name in api.exported if "socket_filename" not in name)
    functions = {f"share/man/man3/{name}.3{api.package[3:]}" for api, name in shown}
    return functions | {f"share/man/man7/{api.package}.7" for api in APIS}


def test_nothing_else_is_installed(plain, usr, usr_v4):
    for installed in (plain, usr, usr_v4):
        library_dir = installed.library_dir.relative_to(installed.tree)
        package = installed.package.relative_to(installed.tree)
        packages = ("libmemif", *(api.package for api in APIS))
        expected = {
            f"{library_dir}/libmemif.so",
            *(f"{library_dir}/{api.file}" for api in APIS),
            *(f"{library_dir}/pkgconfig/{name}.pc" for name in packages),
            *header_files(),
            *manual_pages(),
            *(f"{package}/{name}" for name in files_below(installed.package)),
        }
        assert files_below(installed.tree) == expected
    for installed in (usr, usr_v4):
        assert [path.name for path in installed.root.iterdir()] == ["usr"]


@each_api
def test_headers_are_those_of_the_sources(installed, api):
    source = ROOT / "include" / api.headers
    for name in HEADERS:
        there = installed.include_dir / api.headers / name
        assert there.read_text() == (source / name).read_text()


def test_the_plain_names_lead_to_the_default_interface(default):
    installed, api = default
    assert os.readlink(installed.library_dir / "libmemif.so") == api.file
    for name in HEADERS:
        there = installed.include_dir / name
        assert there.read_text() == (installed.include_dir / api.headers / name).read_text()
    for what in ("--cflags", "--modversion"):
        own = pkg_config(installed, api.package, what)
        assert pkg_config(installed, "libmemif", what) == own


def test_a_venv_imports_what_its_prefix_got(in_venv, tmp_path):
    python = in_venv.prefix / "bin" / "python"
    result = run([python, "-P", PYTHON_EXCHANGE, tmp_path / "socket"], cwd=tmp_path)
    assert result.stdout == "good\n"


def test_examples_are_installed_when_asked_for(in_venv):
    names = ("icmp_responder", "icmp_responder2", "icmpr_lep", "icmp_responder3")
    names += ("icmp_responder4", "bridge4", "loopback4")
    for name in names:
        run([in_venv.prefix / "bin" / name, "-h"], env={})


def test_bytecode_survives_a_copy_that_does_not_keep_times(installed):
    for source in installed.package.rglob("*.py"):
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


def exported_names(library: Path) -> list[str]:
    lines = run(["nm", "-D", "--defined-only", library]).stdout.splitlines()
    return sorted(line.split()[-1] for line in lines)


@each_api
def test_exactly_the_promised_names_are_exported(installed, api):
    assert exported_names(installed.library(api)) == api.exported


@each_api
def test_the_name_that_programs_carry_is_right_and_nothing_unexpected_is_needed(installed, api):
    section = dynamic_section(installed.library(api))
    assert bracketed(section["SONAME"]) == [api.soname]
    needed = bracketed(section["NEEDED"])
    python = sysconfig.get_config_var("INSTSONAME")
    assert python in needed
    # libgcc_s, which the C library comes with, undoes what is held when a callback throws.
    allowed = re.compile(r"lib(c|dl|pthread|gcc_s)\.so\.\d|ld-linux[-\w]*\.so\.\d")
    assert [name for name in needed if name != python and not allowed.fullmatch(name)] == []


@each_api
def test_the_library_is_bound_at_load_and_stays_loaded(installed, api):
    flags = dynamic_section(installed.library(api))["FLAGS_1"]
    assert "NOW" in flags[0].split()
    assert "NODELETE" in flags[0].split()


@each_api
def test_no_executable_stack_and_no_text_relocations(installed, api):
    library = installed.library(api)
    segments = run(["readelf", "--wide", "-l", library]).stdout
    (stack,) = [line.split() for line in segments.splitlines() if "GNU_STACK" in line]
    assert "RW" in stack
    assert "GNU_RELRO" in segments
    section = dynamic_section(library)
    assert "TEXTREL" not in section
    assert not any("TEXTREL" in flags for flags in section.get("FLAGS", []))


@each_api
def test_the_run_path_leads_to_libpython_at_most(installed, api):
    section = dynamic_section(installed.library(api))
    assert "RPATH" not in section
    libdir = sysconfig.get_config_var("LIBDIR")
    assert bracketed(section.get("RUNPATH", [])) in ([], [libdir])


def test_all_that_is_compiled_is_hardened(installed):
    files = elf.files_below(installed.tree)
    assert len(files) >= 3
    allowed = elf.folder_of_libpython()
    assert [found for file in files for found in elf.weaknesses(file, allowed)] == []


def test_a_debug_build_has_what_needs_no_optimiser(tmp_path_factory):
    installed = builds.debug(tmp_path_factory)
    allowed = elf.folder_of_libpython()
    found = [what for f in elf.files_below(installed.tree) for what in elf.weaknesses(f, allowed)]
    assert found
    assert [what for what in found if not what.endswith("has no _FORTIFY_SOURCE")] == []


def test_a_level_of_fortify_that_a_packager_chose_is_kept(tmp_path):
    chosen = environment(CPPFLAGS="-D_FORTIFY_SOURCE=2", CFLAGS="-O2")
    builds.meson("setup", tmp_path / "build", ROOT, env=chosen)
    commands = (tmp_path / "build" / "compile_commands.json").read_text()
    assert set(re.findall(r"_FORTIFY_SOURCE\S*", commands)) == {"_FORTIFY_SOURCE=2"}


# ---- C programs


def pkg_config(installed: Installed, package: str, *arguments: str) -> list[str]:
    path = str(installed.library_dir / "pkgconfig")
    root = {} if installed.root == Path("/") else {"PKG_CONFIG_SYSROOT_DIR": str(installed.root)}
    variables = environment(PKG_CONFIG_LIBDIR=path, **root)
    return run(["pkg-config", *arguments, package], env=variables).stdout.split()


def build_plain(program: Path, api: Api, *flags: str) -> None:
    """programs/plain.c; whatever the flags, the linker must have found the right library."""
    builds.compile_program(program, ["plain.c", api.exchange], *flags)
    assert bracketed(dynamic_section(program)["NEEDED"])[0] == api.soname


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
        with hidden(plain.prefix.parent):
            run([*as_another_user(), program, sockets / "socket"], env={}, cwd="/")


@each_api
def test_the_prefix_can_be_moved(plain, tmp_path, api):
    moved = plain.copy(tmp_path / "moved")
    program = moved.compile(tmp_path / "program", ["plain.c", api.exchange], api=api)
    run([program, tmp_path / "socket"], env={})
    words = pkg_config(moved, api.package, "--define-prefix", "--cflags", "--libs")
    assert f"-I{moved.include_dir / api.headers}" in words
    assert f"-L{moved.library(api).parent}" in words


def flags_by_python(python: Path, api: Api, **options) -> list[str]:
    command = [python, "-P", "-m", "libmemif_py", "--api", api.version, "--cflags", "--libs"]
    return run(command, **options).stdout.split()


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
    return run(command, timeout=600).stdout


@pytest.fixture(scope="module")
def pip_venv(tmp_path_factory, sources) -> Path:
    """The python of a venv into which `pip install FOLDER` put the package."""
    python = make_venv(tmp_path_factory.mktemp("pip") / "venv")
    before = files_below(sources)
    pip(python, "install", sources)
    assert files_below(sources) == before
    return python


@pytest.fixture(scope="module")
def sdist(tmp_path_factory, sources) -> Path:
    """The source distribution, as `python -m build --sdist` makes it from a checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    checkout = shutil.copytree(sources, folder / "checkout")
    for name in (".ci", ".clang-format", ".gitignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    git = ["git", "-C", checkout, "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=test"]):
        run([*git, *command])
    backend = "import mesonpy, sys; print(mesonpy.build_sdist(sys.argv[1]))"
    made = run([PYTHON, "-c", backend, folder], cwd=checkout).stdout.split()[-1]
    return folder / made


@pytest.fixture(scope="module", params=builds.pythons().items(), ids=lambda item: item[0])
def wheel(request, tmp_path_factory, sdist) -> tuple[Path, Path]:
    """A folder with the wheel that an interpreter made from the source distribution, and with what
    it depends on; and a venv of that interpreter with nothing but the wheel."""
    version, python = request.param
    folder = tmp_path_factory.mktemp("wheel")
    builder = make_venv(folder / "builder", on=python)
    pip(builder, "wheel", "--wheel-dir", folder / "wheels", sdist)
    clean = make_venv(folder / "clean", on=python)
    pip(clean, "install", "--no-index", "--find-links", folder / "wheels", "libmemif-py")
    tag = "cp" + version.replace(".", "")
    assert list((folder / "wheels").glob(f"libmemif_py-*-{tag}-{tag}-linux_*.whl"))
    shutil.rmtree(folder / "builder")
    return folder / "wheels", clean


def check_pip_installation(python: Path, folder: Path) -> None:
    """Builds and runs C programs as the package says, and imports the package."""
    for api in APIS:
        program = folder / f"program-{api}"
        flags = flags_by_python(python, api)
        builds.compile_program(program, ["plain.c", api.exchange], *flags)
        run([program, folder / "c-socket"], env={}, cwd="/")
    command = [python, "-I", PYTHON_EXCHANGE, folder / "python-socket"]
    assert run(command).stdout == "good\n"


def package_of(python: Path) -> Path:
    code = "import libmemif_py; print(libmemif_py.__path__[0])"
    return Path(run([python, "-I", "-c", code]).stdout.strip())


def test_pip_install_gives_a_package_with_library_and_headers(pip_venv, tmp_path):
    files = files_below(package_of(pip_venv))
    assert files == package_files() | header_files() | set(WHEEL_LIBRARIES.values())
    check_pip_installation(pip_venv, tmp_path)


def test_a_source_distribution_holds_what_a_build_needs_and_nothing_else(sdist):
    with tarfile.open(sdist) as archive:
        paths = [Path(name).parts for name in archive.getnames()]
    assert {parts[0] for parts in paths} == {f"libmemif_py-{builds.declared_version()}"}
    assert {parts[1] for parts in paths if len(parts) > 1} == OF_A_SDIST


def test_a_meson_build_from_a_source_distribution_is_as_from_a_checkout(sdist, tmp_path):
    run(["tar", "--extract", "--file", sdist, "--directory", tmp_path])
    (unpacked,) = tmp_path.glob("libmemif_py-*")
    options = ("--prefix=/usr", "-Dexamples=true")
    builds.meson("setup", tmp_path / "build", unpacked, *options)
    builds.meson("setup", tmp_path / "own", ROOT, *options)
    plans = []
    for build in (tmp_path / "build", tmp_path / "own"):
        plan = json.loads(builds.meson("introspect", build, "--installed"))
        plans.append(sorted(plan.values()))
    assert plans[0] == plans[1]


def test_a_wheel_of_each_python_can_be_installed_elsewhere_and_used(wheel, tmp_path):
    _, python = wheel
    check_pip_installation(python, tmp_path)


def test_a_wheel_of_each_python_has_the_same_files(wheel):
    wheels, python = wheel
    files = files_below(package_of(python))
    extension = {name for name in files if name.startswith("_native.")} - STUBS
    assert len(extension) == 1
    assert {name for name in files - extension if "__pycache__" not in name} == {
        *MODULES,
        *STUBS,
        "py.typed",
        *header_files(),
        *WHEEL_LIBRARIES.values(),
    }
    (path,) = wheels.glob("libmemif_py-*.whl")
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if not name.startswith("libmemif_py")]


def test_the_command_says_what_to_install_where_its_extra_is_missing(pip_venv):
    result = run([pip_venv.parent / "memif", "--version"], status=2)
    assert result.stdout == ""
    assert result.stderr == "memif: click is missing: pip install 'libmemif-py[tools]'\n"


def test_all_that_is_compiled_in_a_wheel_is_hardened(wheel, tmp_path):
    wheels, python = wheel
    (path,) = wheels.glob("libmemif_py-*.whl")
    libdir = run(
        [python, "-I", "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"]
    )
    allowed = {libdir.stdout.strip()} - {"/usr/lib"}
    shutil.unpack_archive(path, tmp_path, "zip")
    files = elf.files_below(tmp_path)
    assert len(files) == 3
    assert [found for file in files for found in elf.weaknesses(file, allowed)] == []


@each_api
def test_the_library_of_a_wheel_exports_the_same(pip_venv, api):
    library = package_of(pip_venv) / WHEEL_LIBRARIES[api]
    assert exported_names(library) == api.exported
    assert bracketed(dynamic_section(library)["SONAME"]) == ["libmemif.so"]


# ---- the version


def test_the_version_is_the_same_everywhere(plain, pip_venv):
    declared = builds.declared_version()
    modversions = [pkg_config(plain, api.package, "--modversion") for api in APIS]
    metadata = "from importlib.metadata import version; print(version('libmemif-py'))"
    told = run([pip_venv, "-I", "-m", "libmemif_py", "--version"]).stdout
    assert modversions == [[declared]] * len(APIS)
    assert run([pip_venv, "-I", "-c", metadata]).stdout == f"{declared}\n"
    assert told == f"libmemif-py {declared}\n"


def test_the_changelogs_are_of_the_version():
    declared = builds.declared_version()
    debian = (ROOT / "debian" / "changelog").read_text().splitlines()[0]
    assert debian.startswith(f"libmemif-py ({declared}) ")
    newest = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[1]
    assert re.match(rf"\[Unreleased\]: {re.escape(declared)}$|\[{re.escape(declared)}\] - ", newest)
