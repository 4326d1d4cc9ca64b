# SPDX-License-Identifier: Apache-2.0
"""What a compiled file says of how it was built."""

import contextlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import P_FLAGS
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_DT_FLAGS, ENUM_DT_FLAGS_1
from elftools.elf.sections import SymbolTableSection

# Of a function that may be jumped to.
ENDBR64 = b"\xf3\x0f\x1e\xfa"


def files_below(folder: Path) -> list[Path]:
    """The compiled files of ours: not what was copied there from others."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and "_cffi_backend" not in path.name:
            with contextlib.suppress(ELFError), path.open("rb") as stream:
                ELFFile(stream)
                found.append(path)
    return found


class Compiled:
    """One program or library."""

    def __init__(self, path: Path) -> None:
        """Read while the file is open only."""
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            self.machine = elf["e_machine"]
            self.is_x86 = elf.get_machine_arch() in ("x64", "x86")
            self._read_segments(elf)
            self._read_tags(elf)
            self._read_symbols(elf)

    def _read_segments(self, elf: ELFFile) -> None:
        flags = {segment["p_type"]: segment["p_flags"] for segment in elf.iter_segments()}
        self.has_relro = "PT_GNU_RELRO" in flags
        self.has_executable_stack = bool(flags.get("PT_GNU_STACK", P_FLAGS.PF_X) & P_FLAGS.PF_X)

    def _read_tags(self, elf: ELFFile) -> None:
        (dynamic,) = (s for s in elf.iter_segments() if isinstance(s, DynamicSegment))
        tags = list(dynamic.iter_tags())
        flags = {tag.entry.d_tag: tag.entry.d_val for tag in tags}
        self.binds_now = bool(
            flags.get("DT_FLAGS", 0) & ENUM_DT_FLAGS["DF_BIND_NOW"]
            or flags.get("DT_FLAGS_1", 0) & ENUM_DT_FLAGS_1["DF_1_NOW"]
            or "DT_BIND_NOW" in flags
        )
        self.has_text_relocations = bool(
            flags.get("DT_FLAGS", 0) & ENUM_DT_FLAGS["DF_TEXTREL"] or "DT_TEXTREL" in flags
        )
        self.run_paths = [
            folder
            for tag in tags
            if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")
            for folder in (tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath).split(":")
        ]

    def _read_symbols(self, elf: ELFFile) -> None:
        (table,) = (
            s
            for s in elf.iter_sections()
            if isinstance(s, SymbolTableSection) and s["sh_type"] == "SHT_DYNSYM"
        )
        self.imported = set()
        self.starts = {}  # of exported functions: their first bytes
        for symbol in table.iter_symbols():
            if symbol["st_shndx"] == "SHN_UNDEF":
                self.imported.add(symbol.name)
            elif symbol["st_info"]["type"] == "STT_FUNC":
                (offset,) = elf.address_offsets(symbol["st_value"], len(ENDBR64))
                elf.stream.seek(offset)
                self.starts[symbol.name] = elf.stream.read(len(ENDBR64))


def weaknesses(path: Path, allowed_run_paths: set[str]) -> Iterator[str]:
    """What a release build of ours should have, and this file has not.

    It may be led to its own surroundings and to `allowed_run_paths`.
    """
    file = Compiled(path)
    found = {
        "is not relocated read-only": not file.has_relro,
        "binds at the first call": not file.binds_now,
        "has an executable stack": file.has_executable_stack,
        "has text relocations": file.has_text_relocations,
        "has no stack protector": "__stack_chk_fail" not in file.imported,
        "has no _FORTIFY_SOURCE": not any(name.endswith("_chk") for name in file.imported),
    }
    yield from (f"{path}: {what}" for what, is_so in found.items() if is_so)
    for folder in file.run_paths:
        if folder not in allowed_run_paths and not folder.startswith("$ORIGIN"):
            yield f"{path}: is looked for in {folder}"
    for name, start in file.starts.items():
        if file.is_x86 and start != ENDBR64:
            yield f"{path}: {name} has no mark for -fcf-protection"


def folder_of_libpython() -> set[str]:
    """Where a library may look: an interpreter that is not the system's is found nowhere else."""
    libdir = sysconfig.get_config_var("LIBDIR")
    return set() if libdir == "/usr/lib" or libdir.startswith("/usr/lib/") else {libdir}
