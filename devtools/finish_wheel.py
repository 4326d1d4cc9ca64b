# SPDX-License-Identifier: Apache-2.0
"""Makes a wheel one that other machines can use, and says what it is made of.

finish_wheel.py WHEEL ENVIRONMENT FOLDER

ENVIRONMENT is the virtual environment whose tools built the wheel. FOLDER gets the wheel with a tag
such as manylinux_2_34_x86_64, and beside it its bill of materials, which is also inside.
"""

import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from cyclonedx.builder.this import this_component
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot7
from elftools.elf.dynamic import DynamicTag
from elftools.elf.elffile import ELFFile
from packageurl import PackageURL
from packaging.utils import parse_wheel_filename

# auditwheel would cut the C libraries off from it, because a Python for which a wheel is meant may
# have none. But a C program has no Python until they load it.
LIBPYTHON = "libpython3.*"
ELF = b"\x7fELF"
TOOLS = ("meson-python", "meson", "ninja")


def main(wheel: Path, environment: Path, folder: Path) -> None:
    """Finish one wheel."""
    folder.mkdir(exist_ok=True)
    bill = bill_of_materials(wheel, environment)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, wheel.name)
        copy_for_others(wheel, copy)
        name, version, _, _ = parse_wheel_filename(wheel.name)
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        with ZipFile(copy, "a") as archive:
            # auditwheel adds it to the record, and sets its time.
            archive.writestr(with_mode(ZipInfo(f"{info}/sboms/{name}.cdx.json"), 0o644), bill)
        repaired = Path(place, "repaired")
        command = ["auditwheel", "repair", "--exclude", LIBPYTHON, "--wheel-dir", repaired, copy]
        # It adds folders, with the modes that new ones get.
        subprocess.run(command, check=True, umask=0o022)
        (finished,) = repaired.iterdir()
        shutil.copy(finished, folder)
    (folder / f"{finished.name}.cdx.json").write_text(bill)


def bill_of_materials(wheel: Path, environment: Path) -> str:
    """Return a CycloneDX document: whose code is in the wheel, what it needs, what built it."""
    name, version, _, _ = parse_wheel_filename(wheel.name)
    libraries, compilers = read_compiled(wheel)
    installed = {d.name: d for d in distributions(path=[str(site_packages(environment))])}
    licenses = LicenseFactory()
    ours = Component(
        name=name,
        version=str(version),
        type=ComponentType.LIBRARY,
        bom_ref=name,
        licenses=[licenses.make_from_string("Apache-2.0")],
    )
    generator = of_python(installed["cffi"])
    generator.description = (
        "Wrote C code that is compiled into the wheel. Its runtime is also needed, in this version "
        "or a later one."
    )
    needed = [
        Component(
            name=library,
            type=ComponentType.LIBRARY,
            bom_ref=library,
            is_external=True,
            description="A shared library of the machine where the wheel is used.",
        )
        for library in sorted(libraries)
    ]
    bom = Bom(components=[generator, *needed])
    bom.metadata.component = ours
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    bom.metadata.tools.components.add(this_component())
    for tool in TOOLS:
        bom.metadata.tools.components.add(of_python(installed[tool]))
    for compiler in sorted(compilers):
        bom.metadata.tools.components.add(
            Component(name=compiler, type=ComponentType.APPLICATION, bom_ref=compiler)
        )
    bom.register_dependency(ours, [generator, *needed])
    # From the name, and not by chance: two builds are equal.
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, wheel.name)
    return json.dumps(json.loads(JsonV1Dot7(bom).output_as_string()), indent=2) + "\n"


def copy_for_others(wheel: Path, copy: Path) -> None:
    """Copy a wheel, but without the folder of the builder's libpython and the builder's umask."""
    with ZipFile(wheel) as old, ZipFile(copy, "w", ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = old.read(member)
            if content.startswith(ELF):
                content = without_run_path(content)
            executable = member.external_attr >> 16 & 0o100
            new.writestr(with_mode(member, 0o755 if executable else 0o644), content)


def with_mode(member: ZipInfo, mode: int) -> ZipInfo:
    """Return the member of an archive, as a file that has this mode."""
    member.external_attr = (stat.S_IFREG | mode) << 16
    return member


def without_run_path(content: bytes) -> bytes:
    """Return a compiled file without a run path."""
    if not list(tags(ELFFile(io.BytesIO(content)), "DT_RUNPATH")):
        return content
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        # The first overwrites the text, the second takes out what pointed to it.
        for options in (["--set-rpath", ""], ["--remove-rpath"]):
            subprocess.run(["patchelf", *options, file.name], check=True)
        return Path(file.name).read_bytes()


def of_python(package: Distribution) -> Component:
    """Return a component for a Python package that is installed."""
    text = package.metadata.get("License-Expression") or package.metadata.get("License")
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=package.name,
        purl=PackageURL("pypi", name=package.name.lower(), version=package.version),
        licenses=[LicenseFactory().make_from_string(text)] if text else None,
    )


def site_packages(environment: Path) -> Path:
    """Return where its packages are."""
    (python,) = (environment / "lib").glob("python3.*")
    return Path(
        sysconfig.get_path(
            "purelib",
            "venv",
            {"base": str(environment), "py_version_short": python.name.removeprefix("python")},
        )
    )


def read_compiled(wheel: Path) -> tuple[set[str], set[str]]:
    """Return the libraries that its compiled files need, and the compilers that made them."""
    libraries, compilers = set(), set()
    for file in compiled_files(wheel):
        libraries |= {tag.needed for tag in tags(file, "DT_NEEDED")}
        comment = file.get_section_by_name(".comment")
        compilers |= {text.decode() for text in re.findall(rb"[^\0]+", comment.data())}
    return libraries, compilers


def tags(file: ELFFile, kind: str) -> Iterator[DynamicTag]:
    """Yield what it tells the loader."""
    yield from file.get_section_by_name(".dynamic").iter_tags(kind)


def compiled_files(wheel: Path) -> Iterator[ELFFile]:
    """Yield the programs and libraries in it."""
    with ZipFile(wheel) as archive:
        for member in archive.namelist():
            content = archive.read(member)
            if content.startswith(ELF):
                yield ELFFile(io.BytesIO(content))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
