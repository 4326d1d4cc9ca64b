# SPDX-License-Identifier: Apache-2.0
"""What a library says of itself to the linker and to whoever loads it."""

import re
import sysconfig

from support import builds, elf
from support.builds import ROOT, each_api, environment, run
from support.installations import bracketed, dynamic_section, exported_names


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
