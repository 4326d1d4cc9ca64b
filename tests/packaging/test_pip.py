# SPDX-License-Identifier: Apache-2.0
"""Source distributions and wheels, and what pip makes of them."""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import builds, elf
from support.builds import ROOT, each_api, run
from support.installations import (
    MODULES,
    OF_A_SDIST,
    STUBS,
    WHEEL_DISSECTOR,
    WHEEL_LIBRARIES,
    bracketed,
    check_pip_installation,
    dynamic_section,
    exported_names,
    files_below,
    header_files,
    make_venv,
    package_files,
    pip,
)


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


def package_of(python: Path) -> Path:
    code = "import libmemif_py; print(libmemif_py.__path__[0])"
    return Path(run([python, "-I", "-c", code]).stdout.strip())


def test_pip_install_gives_a_package_with_library_and_headers(pip_venv, tmp_path):
    files = files_below(package_of(pip_venv))
    of_a_wheel = {*WHEEL_LIBRARIES.values(), WHEEL_DISSECTOR}
    assert files == package_files() | header_files() | of_a_wheel
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
        WHEEL_DISSECTOR,
    }
    (path,) = wheels.glob("libmemif_py-*.whl")
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if not name.startswith("libmemif_py")]


def test_the_command_says_what_to_install_where_its_extra_is_missing(pip_venv):
    result = run([pip_venv.parent / "memif", "--version"], status=2)
    assert result.stdout == ""
    install = f"{pip_venv.parent}/python -m pip install click rich"
    assert result.stderr == f"memif: click is missing. Install it: {install}\n"


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


def test_a_python_without_a_shared_libpython_is_told_so_for_c(pip_venv):
    code = (
        "import sysconfig; sysconfig.get_config_vars()['Py_ENABLE_SHARED'] = 0\n"
        "from libmemif_py.__main__ import main; main(['--libs'])"
    )
    said = run([pip_venv, "-I", "-c", code], status=1).stderr
    assert said == f"{pip_venv} has no shared libpython, which the C libraries need\n"


@each_api
def test_the_library_of_a_wheel_exports_the_same(pip_venv, api):
    library = package_of(pip_venv) / WHEEL_LIBRARIES[api]
    assert exported_names(library) == api.exported
    assert bracketed(dynamic_section(library)["SONAME"]) == ["libmemif.so"]
