# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: built once, installed by dpkg into a copy of this system that lasts for a
test, and used there by C and Python programs."""

import os
import re
import shutil
import sysconfig
import tomllib
from pathlib import Path

import pytest
from support import builds, elf
from support.builds import (
    APIS,
    BASE_PYTHON,
    PROGRAMS,
    PYTHON,
    ROOT,
    SUPPORT,
    each_api,
    environment,
    run,
)
from support.installations import EXTRAS
from support.memif_command import COMMANDS

DEBIAN_PYTHON = Path("/usr/bin/python3")
PACKAGES = ("libmemif-py0", "libmemif-py-dev", "libmemif-py-examples", "python3-libmemif-py")

# IN_ROOT FOLDER SHARED COMMAND...: in a copy of the system whose changes FOLDER keeps; SHARED is
# /tmp there. Mounts end with the namespace, which is this program's.
IN_ROOT = """
mount --make-rprivate /
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mount --bind "$2" "$1/root/tmp"
mount --rbind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
folder=$1
shift 2
exec chroot "$folder/root" "$@"
"""
SYSTEM = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}


def build_tools(folder: Path) -> Path:
    """A folder of programs: what the packages are built with beside Debian's own."""
    if DEBIAN_PYTHON.samefile(BASE_PYTHON):
        return PYTHON.parent
    run([DEBIAN_PYTHON, "-I", "-m", "venv", folder / "venv"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["build-system"]["requires"]
    run([folder / "venv/bin/python", "-I", "-m", "pip", "--quiet", "install", *wanted], timeout=300)
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def packages(tmp_path_factory, pytestconfig) -> dict[str, Path]:
    """The packages by name, from `dpkg-buildpackage` in a copy of the sources.

    With --all-steps it also runs the C tests, as it does for whoever says nothing else.
    """
    folder = tmp_path_factory.mktemp("debian")
    unwanted = ("build", "build-*", ".venv*", ".git", ".*_cache", "__pycache__", "dist")
    ignore = shutil.ignore_patterns(*unwanted)
    sources = shutil.copytree(ROOT, folder / "libmemif-py", ignore=ignore)
    # Without the packages of debug information, which nothing here uses.
    options = "noautodbgsym parallel=2" + (
        "" if pytestconfig.getoption("all_steps") else " nocheck"
    )
    path = f"{build_tools(folder)}:{os.environ['PATH']}"
    command = ["dpkg-buildpackage", "-us", "-uc", "-b"]
    run(command, cwd=sources, env=environment(PATH=path, DEB_BUILD_OPTIONS=options), timeout=900)
    return {name: next(folder.glob(f"{name}_*.deb")) for name in PACKAGES}


class Root:
    """A copy of this system; it is thrown away, and the system itself does not change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared = folder / "shared"
        for name in ("upper", "work", "root", "shared"):
            (folder / name).mkdir()
        self.shared.chmod(0o1777)

    def run(self, *command: str) -> str:
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = ["unshare", *user, "--mount", "sh", "-euc", IN_ROOT, "sh"]
        return run([*script, self.folder, self.shared, *command], env=SYSTEM, timeout=120).stdout

    def shell(self, script: str) -> str:
        return self.run("sh", "-euc", script)

    def install(self, packages: dict[str, Path], *names: str) -> None:
        for name in names:
            shutil.copy(packages[name], self.shared / f"{name}.deb")
        self.run("dpkg", "--install", *(f"/tmp/{name}.deb" for name in names))


@pytest.fixture(scope="module")
def system(tmp_path_factory, packages) -> Root:
    """With all packages, and the sources of the programs in /tmp."""
    root = Root(tmp_path_factory.mktemp("system"))
    root.install(packages, *PACKAGES)
    for path in PROGRAMS.iterdir():
        shutil.copy(path, root.shared)
    return root


def fields(package: Path, *names: str) -> str:
    return run(["dpkg-deb", "--field", package, *names]).stdout


def test_packages_have_the_version_of_the_build(packages):
    version = builds.declared_version()
    for package in packages.values():
        assert fields(package, "Version").strip() == version


@each_api
def test_programs_build_with_pkg_config_and_run(system, api):
    warnings = " ".join(builds.STANDARD)
    system.shell(
        f"cd /tmp && cc {warnings} -o program-{api} plain.c {api.exchange} "
        f"$(pkg-config --cflags --libs {api.package})"
    )
    system.run("setpriv", "--reuid=65534", "--clear-groups", f"/tmp/program-{api}", f"/tmp/{api}")


def test_the_plain_names_are_those_of_v1(system):
    system.shell("cd /tmp && cc -o plain plain.c exchange_v1.c -lmemif && ./plain /tmp/plain.sock")


@each_api
def test_programs_build_as_python_says(system, api):
    system.shell(
        f"cd /tmp && cc -o by-python-{api} plain.c {api.exchange} "
        f"$(/usr/bin/python3 -P -m libmemif_py --api {api.version} --cflags --libs) && "
        f"./by-python-{api} /tmp/by-python-{api}.sock"
    )


def test_python_programs_exchange_packets(system):
    shutil.copy(SUPPORT / "exchanges.py", system.shared)
    assert system.run("/usr/bin/python3", "-I", "/tmp/exchanges.py", "/tmp/socket") == "good\n"


def test_the_command_runs_with_its_manual_page_and_completion(system):
    for name in EXTRAS:
        shutil.copytree(Path(sysconfig.get_path("purelib"), name), system.shared / name)
    said = system.shell("PYTHONPATH=/tmp memif --version")
    assert said.startswith(f"libmemif-py {builds.declared_version()}\n")
    files = system.run("dpkg", "--listfiles", "python3-libmemif-py").splitlines()
    for name in ("", *(f"-{name}" for name in COMMANDS)):
        assert f"/usr/share/man/man1/memif{name}.1.gz" in files
    assert "/usr/share/man/man7/libmemif.7.gz" in files
    assert "/usr/share/bash-completion/completions/memif" in files
    assert "/usr/share/zsh/vendor-completions/_memif" in files
    assert "/usr/share/fish/vendor_completions.d/memif.fish" in files
    for name in ("bridge", "relay"):
        units = [file for file in files if file.endswith(f"/systemd/system/memif-{name}@.service")]
        assert len(units) == 1
        assert f"\nExecStart=/usr/bin/memif {name} " in system.run("cat", *units)
    first = system.shell("head -n 1 /usr/bin/memif")
    assert first.removeprefix("#!").strip() == str(DEBIAN_PYTHON)


def test_wireshark_finds_memif_sockets(system):
    for name in EXTRAS:
        there = system.shared / name
        if not there.exists():
            shutil.copytree(Path(sysconfig.get_path("purelib"), name), there)
    lines = system.shell("PYTHONPATH=/tmp tshark -D").splitlines()
    assert any(re.match(r"\d+\. memif \(", line) for line in lines)


def test_wireshark_finds_the_dissector(system):
    protocols = system.run("tshark", "-G", "protocols").splitlines()
    assert any(line.endswith("\tmemif") or "\tmemif\t" in line for line in protocols)


def test_the_package_is_byte_compiled_when_it_is_installed(system):
    package = "/usr/lib/python3/dist-packages/libmemif_py"
    assert "wire.cpython" in system.run("ls", f"{package}/control/__pycache__")


def test_examples_start(system):
    listed = system.run("dpkg", "--listfiles", "libmemif-py-examples")
    programs = re.findall(r"^/usr/bin/.+$", listed, re.M)
    assert len(programs) >= 7
    for program in programs:
        system.run(program, "-h")


def test_programs_run_without_the_development_package(system, packages, tmp_path):
    test_programs_build_with_pkg_config_and_run(system, APIS[1])
    root = Root(tmp_path)
    root.install(packages, "libmemif-py0", "python3-libmemif-py")
    shutil.copy(system.shared / f"program-{APIS[1]}", root.shared / "program")
    root.run("/tmp/program", "/tmp/socket")


def test_what_was_installed_can_be_purged(packages, tmp_path):
    root = Root(tmp_path)
    files = "find /usr/lib /usr/include /usr/bin /usr/share/doc -xdev -name '*memif*'"
    before = root.shell(files)
    root.install(packages, *PACKAGES)
    assert root.shell(files) != before
    root.run("dpkg", "--purge", *PACKAGES)
    assert root.shell(files) == before


def test_the_library_asks_for_the_python_that_it_embeds(packages):
    depends = fields(packages["libmemif-py0"], "Depends")
    version = ".".join(map(str, debian_python_version()))
    assert re.search(rf"libpython{re.escape(version)}\b", depends)
    assert "python3-libmemif-py (= " in depends


def debian_python_version() -> tuple[int, int]:
    code = "import sys; print(*sys.version_info[:2])"
    major, minor = run([DEBIAN_PYTHON, "-I", "-c", code]).stdout.split()
    return int(major), int(minor)


def test_no_package_names_a_folder_of_the_build(packages, tmp_path):
    for name, package in packages.items():
        run(["dpkg-deb", "--extract", package, tmp_path / name])
        for path in (tmp_path / name).rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert str(package.parent).encode() not in path.read_bytes(), path


def test_all_that_is_compiled_in_the_packages_is_hardened(packages, tmp_path):
    for name, package in packages.items():
        run(["dpkg-deb", "--extract", package, tmp_path / name])
    files = elf.files_below(tmp_path)
    assert len(files) >= 3 + 7
    assert [found for file in files for found in elf.weaknesses(file, set())] == []
