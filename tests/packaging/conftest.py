# SPDX-License-Identifier: Apache-2.0
"""The ways in which this checkout is installed."""

import shutil
from pathlib import Path

import pytest
from support import builds
from support.builds import PYTHON, ROOT, V1, V4, Api, Installed, run
from support.installations import files_below, make_venv, pip

plain = pytest.fixture(scope="session")(builds.release)


@pytest.fixture(scope="session")
@builds.once_a_session
def usr(folder: Path) -> Installed:
    """Staged for /usr, with the system's own folder for libraries."""
    return builds.build_and_install(folder / "build", Path("/usr"), root=folder / "root")


@pytest.fixture(scope="session")
@builds.once_a_session
def usr_v4(folder: Path) -> Installed:
    """The same with the plain names given to the 4.0 API."""
    options = ("-Ddefault_api=4.0",)
    return builds.build_and_install(folder / "build", Path("/usr"), *options, root=folder / "root")


@pytest.fixture(scope="session")
@builds.once_a_session
def in_venv(folder: Path) -> Installed:
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


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    """A copy, to see what building from it leaves there."""
    folder = tmp_path_factory.mktemp("sources") / "libmemif-py"
    unwanted = shutil.ignore_patterns("build", "build-*", ".*", "__pycache__", "dist")
    return shutil.copytree(ROOT, folder, ignore=unwanted)


@pytest.fixture(scope="session")
def pip_venv(tmp_path_factory, sources) -> Path:
    """The python of a venv into which `pip install FOLDER` put the package."""
    python = make_venv(tmp_path_factory.mktemp("pip") / "venv")
    before = files_below(sources)
    pip(python, "install", sources)
    assert files_below(sources) == before
    return python


@pytest.fixture(scope="session")
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
