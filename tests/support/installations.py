# SPDX-License-Identifier: Apache-2.0
"""What an installation of this checkout must consist of, and programs that use it."""

import importlib.util
import re
import sys
import sysconfig
from pathlib import Path

from support import builds
from support.builds import (
    APIS,
    BASE_PYTHON,
    ROOT,
    SUPPORT,
    V1,
    V4,
    Api,
    Installed,
    environment,
    run,
)

HEADERS = ("libmemif.h", "memif.h", "memif_ext.h")
# A wheel cannot hold links, so these are the names for linking.
WHEEL_LIBRARIES = {V1: "libmemif.so", V4: "libmemif4/libmemif.so"}
# Where meson installs it, the package does not hold it.
WHEEL_DISSECTOR = "tools/wireshark/memif.lua"
SOURCES = ROOT / "libmemif_py"
STUBS = {path.name for path in SOURCES.glob("*.pyi")}
MODULES = {
    "_install.py",
    "_pcap.py",
    *(
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if "native" not in path.relative_to(SOURCES).parts
    ),
}
EXTENSION_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
BASE_PREFIX = Path(sys.base_prefix)
NOBODY = "65534"
# What the command memif needs, and what that needs.
EXTRAS = ("click", "rich", "pygments", "markdown_it", "mdurl")

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
    "systemd",
}


def make_venv(folder: Path, *options: str, on: Path = BASE_PYTHON) -> Path:
    """A virtual environment, if not told otherwise on the interpreter below ours; its python."""
    run([on, "-I", "-m", "venv", *options, folder])
    return folder / "bin" / "python"


def files_below(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(folder)) for path in found}


def package_files() -> set[str]:
    compiled = {importlib.util.cache_from_source(name) for name in MODULES}
    return {*MODULES, *compiled, *STUBS, "py.typed", f"_native{EXTENSION_SUFFIX}"}


def header_files() -> set[str]:
    """Of each interface in its folder, and those of the default one."""
    folders = ["", *(f"{api.headers}/" for api in APIS)]
    return {f"include/{folder}{name}" for folder in folders for name in HEADERS}


def manual_pages() -> set[str]:
    """Of each function, of each interface, of the command and of each subcommand."""
    # The older name of memif_get_socket_path, which no header declares.
    shown = ((api, name) for api in APIS for name in api.exported if "socket_filename" not in name)
    functions = {f"share/man/man3/{name}.3{api.package[3:]}" for api, name in shown}
    names = ("libmemif", "memif_ext", *(api.package for api in APIS))
    overviews = {f"share/man/man7/{name}.7" for name in names}
    command = {f"share/man/man1/{path.name}" for path in (ROOT / "docs" / "man").glob("*.1")}
    return functions | overviews | command


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


def pkg_config(installed: Installed, package: str, *arguments: str) -> list[str]:
    path = str(installed.library_dir / "pkgconfig")
    root = {} if installed.root == Path("/") else {"PKG_CONFIG_SYSROOT_DIR": str(installed.root)}
    variables = environment(PKG_CONFIG_LIBDIR=path, **root)
    return run(["pkg-config", *arguments, package], env=variables).stdout.split()


def build_plain(program: Path, api: Api, *flags: str) -> None:
    """programs/plain.c; whatever the flags, the linker must have found the right library."""
    builds.compile_program(program, ["plain.c", api.exchange], *flags)
    assert bracketed(dynamic_section(program)["NEEDED"])[0] == api.soname


def flags_by_python(python: Path, api: Api, **options) -> list[str]:
    command = [python, "-P", "-m", "libmemif_py", "--api", api.version, "--cflags", "--libs"]
    return run(command, **options).stdout.split()


def pip(python: Path, *arguments: Path | str) -> str:
    options = ("--disable-pip-version-check", "--no-input", "--quiet")
    command = [python, "-I", "-m", "pip", *options, *arguments]
    return run(command, timeout=600).stdout


def check_pip_installation(python: Path, folder: Path) -> None:
    """Builds and runs C programs as the package says, and imports the package."""
    for api in APIS:
        program = folder / f"program-{api}"
        flags = flags_by_python(python, api)
        builds.compile_program(program, ["plain.c", api.exchange], *flags)
        run([program, folder / "c-socket"], env={}, cwd="/")
    command = [python, "-I", PYTHON_EXCHANGE, folder / "python-socket"]
    assert run(command).stdout == "good\n"
