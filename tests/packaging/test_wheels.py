# SPDX-License-Identifier: Apache-2.0
"""What `./bootstrap wheels` makes, with one of the Pythons of this machine."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import wheels
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support import builds, elf
from support.builds import run
from support.installations import bracketed, check_pip_installation, dynamic_section, make_venv, pip


@dataclass(frozen=True)
class Built:
    """One run."""

    sdist: Path
    wheel: Path
    bill: Path


@pytest.fixture(scope="module")
def python() -> Path:
    """The newest: more often than the others it is outside the system's folders."""
    return list(builds.pythons().values())[-1]


@pytest.fixture(scope="module")
def tools(tmp_path_factory, python) -> Path:
    return wheels.make_tools(tmp_path_factory.mktemp("tools") / "venv", python)


@pytest.fixture(scope="module")
def twice(tmp_path_factory, tools) -> list[Built]:
    """Two runs in two folders, by two users who differ in what others may read."""
    folder = tmp_path_factory.mktemp("wheels")
    made = []
    own = os.umask(0o022)
    try:
        for umask, place in ((0o022, folder / "one"), (0o077, folder / "deep" / "er")):
            os.umask(umask)
            sdist = wheels.make_sdist(place / "sdist")
            made.append(Built(sdist, *wheels.make_wheel(sdist, tools, place / "wheel")))
    finally:
        os.umask(own)
    return made


@pytest.fixture
def built(twice) -> Built:
    return twice[0]


@pytest.fixture
def unpacked(built, tmp_path) -> Path:
    shutil.unpack_archive(built.wheel, tmp_path / "unpacked", "zip")
    return tmp_path / "unpacked"


def test_two_builds_are_equal(twice):
    one, other = twice
    for a, b in zip(
        (one.sdist, one.wheel, one.bill), (other.sdist, other.wheel, other.bill), strict=True
    ):
        assert (a.name, a.read_bytes()) == (b.name, b.read_bytes())


def test_a_wheel_says_which_c_library_is_enough(built):
    assert re.search(r"-manylinux_2_\d\d_\w+\.whl$", built.wheel.name)
    said = " ".join(run(["auditwheel", "show", built.wheel], status=None).stdout.split())
    tag = re.search(r"manylinux_2_\d\d_\w+", built.wheel.name)[0]
    assert f'This constrains the platform tag to "{tag}"' in said


def test_the_c_libraries_still_ask_for_libpython(unpacked):
    for library in unpacked.rglob("libmemif.so"):
        needed = bracketed(dynamic_section(library)["NEEDED"])
        assert [name for name in needed if name.startswith("libpython3.")], library


def test_a_wheel_names_no_folder_of_its_builder(unpacked, built, python):
    code = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_path('stdlib'))"
    prefix, stdlib = run([python, "-I", "-c", code]).stdout.split()
    folders = {stdlib, tempfile.gettempdir(), str(builds.ROOT)} | {prefix} - {"/usr"}
    files = elf.files_below(unpacked)
    assert len(files) == 3
    for file in files:
        assert list(elf.weaknesses(file, set())) == []
        content = file.read_bytes()
        assert [folder for folder in folders if folder.encode() in content] == [], file


def test_the_bill_of_materials_is_valid_and_true(built, unpacked, tools):
    text = built.bill.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    components = {entry["name"]: entry for entry in json.loads(text)["components"]}
    files = elf.files_below(unpacked)
    needed = {name for file in files for name in bracketed(dynamic_section(file)["NEEDED"])}
    assert set(components) == {"cffi", *needed}
    code = "import importlib.metadata as m; print(m.version('cffi'))"
    version = run([tools / "bin" / "python", "-I", "-c", code]).stdout.strip()
    assert components["cffi"]["version"] == version


def test_the_bill_of_materials_is_also_in_the_wheel_and_in_its_record(built):
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/sboms/libmemif-py.cdx.json"))
        assert archive.read(name) == built.bill.read_bytes()
        record = archive.read(name.partition("/")[0] + "/RECORD").decode()
        for path, digest, _ in csv.reader(io.StringIO(record)):
            if digest:
                expected = hashlib.sha256(archive.read(path)).digest()
                assert digest == "sha256=" + base64.urlsafe_b64encode(expected).decode().rstrip("=")
    assert name in record


def test_a_wheel_can_be_used_from_python_and_from_c(built, python, tmp_path):
    venv = make_venv(tmp_path / "venv", on=python)
    pip(venv, "install", built.wheel)
    check_pip_installation(venv, tmp_path)
