# SPDX-License-Identifier: Apache-2.0
"""Builds of this checkout, installed into the tests' own folders, and C programs against them."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import interpreters
import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
SUPPORT = TESTS / "support"
PROGRAMS = TESTS / "programs"
PYTHON = Path(sys.executable)
BASE_PYTHON = Path(sys._base_executable)
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
STANDARD = ["-std=c11", "-D_GNU_SOURCE", *WARNINGS, "-Wl,--as-needed"]
# What would lead a build or a program to another library or interpreter than the one under test.
FOREIGN = ("PYTHON", "LIBMEMIF_", "LD_", "PKG_CONFIG", "MESON")


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment without what would change the outcome, with the tools on PATH."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN) and k != "DESTDIR"}
    own["PATH"] = f"{PYTHON.parent}:{own.get('PATH', os.defpath)}"
    return own | variables


def run(
    command: Sequence[Path | str],
    *,
    status: int | None = 0,
    timeout: float = 60,
    env: dict[str, str] | None = None,
    **options,
) -> subprocess.CompletedProcess[str]:
    """Run to the end. Another exit status than the one given is a failure (None: all are good)."""
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        env=environment() if env is None else env,
        check=False,
        **options,
    )
    if status is not None and result.returncode != status:
        words = " ".join(map(str, command))
        pytest.fail(f"{words}: status {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def declared_version() -> str:
    """The version, from the one place that declares it."""
    return re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.M)[1]


def pythons() -> dict[str, Path]:
    """By version, the interpreters of this machine that the library can be built for."""
    return interpreters.pythons()


def meson(*arguments: Path | str, env: dict[str, str] | None = None) -> str:
    """Run meson with the interpreter that runs the tests, which then is the one built for."""
    return run([PYTHON, "-m", "mesonbuild.mesonmain", *arguments], timeout=300, env=env).stdout


@dataclass(frozen=True)
class Api:
    """One of the two C APIs."""

    name: str
    version: str  # of the original
    headers: str  # below the folder for headers
    file: str  # below the folder for libraries
    soname: str

    def __str__(self) -> str:
        """For the names of tests."""
        return self.name

    @property
    def exchange(self) -> str:
        """What implements programs/exchange.h."""
        return f"exchange_{self.name}.c"

    @property
    def package(self) -> str:
        """Its name for pkg-config, whichever is the default."""
        return self.headers

    @property
    def exported(self) -> list[str]:
        """The promised names, in order."""
        list_ = TESTS / "packaging" / f"exported_{self.name}.txt"
        return list_.read_text().split()


V1 = Api("v1", "1.0", "libmemif1", "libmemif.so.0", "libmemif.so.0")
V4 = Api("v4", "4.0", "libmemif4", "libmemif4/libmemif.so", "libmemif.so")
APIS = [V1, V4]
each_api = pytest.mark.parametrize("api", APIS, ids=str)


@dataclass(frozen=True)
class Installed:
    """What `meson install` made: under `prefix`, or under `root` + `prefix` when it was staged."""

    prefix: Path
    root: Path = Path("/")

    @property
    def tree(self) -> Path:
        return self.root / self.prefix.relative_to("/")

    @property
    def library_dir(self) -> Path:
        """Where the plain names are."""
        (library,) = self.tree.glob("lib/**/libmemif.so.0")
        return library.parent

    def library(self, api: Api = V1) -> Path:
        return self.library_dir / api.file

    @property
    def include_dir(self) -> Path:
        return self.tree / "include"

    @property
    def package(self) -> Path:
        (module,) = self.tree.glob("lib/**/libmemif_py/__init__.py")
        return module.parent

    def copy(self, folder: Path) -> "Installed":
        """A copy for a test that breaks it."""
        return Installed(shutil.copytree(self.tree, folder, symlinks=True))

    def compile(
        self, program: Path, sources: Sequence[str], *arguments: str, api: Api = V1
    ) -> Path:
        """A program of tests/programs against a library, which it finds by run path."""
        library = self.library(api)
        paths = [f"-I{self.include_dir / api.headers}", f"-L{library.parent}"]
        link = [f"-l:{library.name}", f"-Wl,-rpath,{library.parent}"]
        return compile_program(program, sources, *paths, *arguments, *link)


def compile_program(program: Path, sources: Sequence[str], *arguments: str) -> Path:
    """A program of tests/programs."""
    paths = [PROGRAMS / source for source in sources]
    libraries = ["-lpthread", "-ldl", "-lm"]
    run(["cc", *STANDARD, "-o", program, *paths, *arguments, *libraries])
    return program


def build_and_install(
    build: Path, prefix: Path, *options: str, root: Path = Path("/")
) -> Installed:
    """Configure, build and install this checkout; `root` is where it is staged."""
    meson("setup", build, ROOT, f"--prefix={prefix}", *options)
    meson("compile", "-C", build)
    variables = {} if root == Path("/") else {"DESTDIR": str(root)}
    meson("install", "-C", build, "--quiet", env=environment(**variables))
    return Installed(prefix, root)


def once_a_session(
    make: Callable[[Path], Installed],
) -> Callable[[pytest.TempPathFactory], Installed]:
    """Makes on the first call, in a folder, and gives the same again on every later one, to all
    workers of xdist: processes whose own folders lie side by side.
    """
    made: list[Installed] = []

    def get(tmp_path_factory: pytest.TempPathFactory) -> Installed:
        if not made:
            own = tmp_path_factory.getbasetemp()
            place = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
            made.append(_made_once(make, place / f"{make.__name__}-of-all"))
        return made[0]

    get.__name__ = make.__name__
    return get


def _made_once(make: Callable[[Path], Installed], folder: Path) -> Installed:
    with folder.with_suffix(".lock").open("a+") as record:
        fcntl.flock(record, fcntl.LOCK_EX)
        record.seek(0)
        if places := record.read().splitlines():
            return Installed(*map(Path, places))
        shutil.rmtree(folder, ignore_errors=True)  # a worker failed to make it
        folder.mkdir()
        result = make(folder)
        record.write(f"{result.prefix}\n{result.root}\n")
    return result


@once_a_session
def tested(folder: Path) -> Installed:
    """What the C tests use, staged for all tests of a session. They must not change it."""
    meson("install", "-C", ROOT / "build", "--quiet", "--no-rebuild", "--destdir", folder)
    return Installed(Path(sys.prefix), folder)


@once_a_session
def release(folder: Path) -> Installed:
    """One build with no options for all tests of a session. They must not change it."""
    return build_and_install(folder / "build", folder / "prefix", "--libdir=lib")


@once_a_session
def debug(folder: Path) -> Installed:
    """The same with --buildtype=debug."""
    options = ("--libdir=lib", "--buildtype=debug", "-Dwerror=true")
    return build_and_install(folder / "build", folder / "prefix", *options)
