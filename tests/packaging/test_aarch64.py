# SPDX-License-Identifier: Apache-2.0
"""The library on aarch64: cross-compiled, and run by qemu-user beside programs for x86-64.

An emulator on x86-64 keeps the order in which x86-64 makes stores visible. A barrier that is
missing on a real aarch64 would not show here.
"""

import json
import shutil
from pathlib import Path

import aarch64
import building
import emulated
import pytest
from support.builds import ROOT, meson
from support.elf import Compiled
from support.traffic_pairs import Pairs

REASON = aarch64.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

LIBRARIES = ROOT / aarch64.LIBRARIES
GCC, CLANG = (ROOT / b.folder for b in (building.AARCH64, building.AARCH64_WITH_CLANG))
EMULATOR = ["qemu-aarch64", "-L", LIBRARIES]
# It is about system calls that the emulator does not have; c_tests/core/meson.build leaves it out.
NOT_EMULATED = ROOT / "c_tests" / "core" / "test_signals.c"
DATA_PATH = sorted(
    path.relative_to(ROOT / "c_tests").with_suffix("")
    for suite in ("core", "hostile")
    for path in (ROOT / "c_tests" / suite).glob("test_*.c")
    if path != NOT_EMULATED
)
PACKETS = 1_000_000
PYTHON_PACKETS = 20_000
# Instructions per packet in bursts of 256, by gcc 12. Without NEON: 73, 96, 77, 92.
COSTS = {("packet", "s2m"): 33, ("packet", "m2s"): 48, ("entry", "s2m"): 32, ("entry", "m2s"): 48}
OTHER_COMPILER = 1.25


# ---- what is compiled


@pytest.mark.parametrize(
    ("build", "compiler", "has_tests"), [(GCC, "gcc", True), (CLANG, "clang", False)]
)
def test_all_of_it_compiles_without_a_warning(build, compiler, has_tests):
    meson("compile", "-C", build)
    options = {
        o["name"]: o["value"] for o in json.loads(meson("introspect", build, "--buildoptions"))
    }
    assert options["werror"]
    assert all(options[part] for part in ("examples", "bench"))
    assert options["tests"] == has_tests
    assert json.loads(meson("introspect", build, "--compilers"))["host"]["c"]["id"] == compiler


@pytest.mark.parametrize("build", [GCC, CLANG], ids=["gcc", "clang"])
def test_the_libraries_are_for_aarch64(build):
    for name in ("libmemif.so.0", "libmemif4/libmemif.so"):
        assert Compiled(build / "libmemif_py" / name).machine == "EM_AARCH64"


# ---- what runs


@pytest.mark.parametrize("program", DATA_PATH, ids=str)
def test_the_c_tests_of_the_data_path_pass(program):
    meson("test", "-C", GCC, "--no-rebuild", "--suite", program.parent.name, program.name)


@pytest.mark.parametrize(("face", "direction"), COSTS)
def test_vectors_take_half_the_instructions(face, direction):
    costs = emulated.count(GCC, face, direction, 256)
    assert all(cost > 0 for cost in costs.values())
    assert sum(costs.values()) <= COSTS[face, direction] * OTHER_COMPILER


class AcrossMachines(Pairs):
    """Programs for either machine: those for aarch64 have it in their name."""

    def __init__(self, folder: Path, native: Path):
        super().__init__(folder, native)
        emulated = Pairs(folder, GCC)._traffic
        self._traffic |= {f"{api}-aarch64": [*EMULATOR, *emulated[api]] for api in ("v1", "v4")}
        package = folder / "python"
        script = emulated["python"][1:]
        python = [LIBRARIES / "usr" / "bin" / "python3", *script]
        self._traffic["python-aarch64"] = [*EMULATOR, "-E", f"PYTHONPATH={package}", *python]

    def make_package(self) -> None:
        """A copy of the built package that a Python for aarch64 can load: meson names the extension
        after the machine of the Python that runs it."""
        package = shutil.copytree(GCC / "libmemif_py", self.folder / "python" / "libmemif_py")
        (extension,) = package.glob("_native.*.so")
        extension.rename(package / extension.name.replace("x86_64", "aarch64"))


@pytest.fixture
def launcher(tmp_path) -> AcrossMachines:
    return AcrossMachines(tmp_path, ROOT / "build")


@pytest.mark.parametrize("version", [256, 512])
@pytest.mark.parametrize("role", ["master", "slave"])
@pytest.mark.parametrize("api", ["v1", "v4"])
def test_a_million_packets_each_way_between_aarch64_and_x86_64(launcher, api, role, version):
    pair = (f"{api}-aarch64", api) if role == "master" else (api, f"{api}-aarch64")
    launcher.exchange(pair, PACKETS, modes=("polling", "interrupt"), version=version)


@pytest.mark.parametrize("version", [256, 512])
@pytest.mark.parametrize("role", ["master", "slave"])
def test_packets_between_python_on_aarch64_and_c_on_x86_64(launcher, role, version):
    launcher.make_package()
    pair = ("python-aarch64", "v1") if role == "master" else ("v1", "python-aarch64")
    launcher.exchange(pair, PYTHON_PACKETS, version=version)
