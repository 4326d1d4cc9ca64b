# SPDX-License-Identifier: Apache-2.0
"""What meson installs where."""

import _imp
import importlib.util
import marshal
import os
from pathlib import Path

from support.builds import APIS, ROOT, each_api, run
from support.installations import (
    HEADERS,
    PYTHON_EXCHANGE,
    files_below,
    header_files,
    manual_pages,
    package_files,
    pkg_config,
)


def test_the_package_is_installed_byte_compiled(installed):
    files = {name for name in files_below(installed.package) if not name.startswith("_runtime/")}
    assert files == package_files()


def test_nothing_else_is_installed(plain, usr, usr_v4):
    for installed in (plain, usr, usr_v4):
        library_dir = installed.library_dir.relative_to(installed.tree)
        package = installed.package.relative_to(installed.tree)
        packages = ("libmemif", *(api.package for api in APIS))
        expected = {
            f"{library_dir}/libmemif.so",
            *(f"{library_dir}/{api.file}" for api in APIS),
            *(f"{library_dir}/pkgconfig/{name}.pc" for name in packages),
            *header_files(),
            *manual_pages(),
            "bin/memif",
            *(f"lib/systemd/system/memif-{name}@.service" for name in ("bridge", "relay")),
            f"{library_dir}/wireshark/extcap/memif-extcap",
            f"{library_dir}/wireshark/plugins/memif.lua",
            "share/bash-completion/completions/memif",
            "share/fish/vendor_completions.d/memif.fish",
            "share/zsh/site-functions/_memif",
            *(f"{package}/{name}" for name in files_below(installed.package)),
        }
        assert files_below(installed.tree) == expected
    for installed in (usr, usr_v4):
        assert [path.name for path in installed.root.iterdir()] == ["usr"]


@each_api
def test_headers_are_those_of_the_sources(installed, api):
    for name in HEADERS:
        folder = "." if name == "memif_ext.h" else api.headers
        there = installed.include_dir / api.headers / name
        assert there.read_text() == (ROOT / "include" / folder / name).read_text()


def test_the_plain_names_lead_to_the_default_interface(default):
    installed, api = default
    assert os.readlink(installed.library_dir / "libmemif.so") == api.file
    for name in HEADERS:
        there = installed.include_dir / name
        assert there.read_text() == (installed.include_dir / api.headers / name).read_text()
    for what in ("--cflags", "--modversion"):
        own = pkg_config(installed, api.package, what)
        assert pkg_config(installed, "libmemif", what) == own


def test_a_venv_imports_what_its_prefix_got(in_venv, tmp_path):
    python = in_venv.prefix / "bin" / "python"
    result = run([python, "-P", PYTHON_EXCHANGE, tmp_path / "socket"], cwd=tmp_path)
    assert result.stdout == "good\n"


def test_examples_are_installed_when_asked_for(in_venv):
    names = ("icmp_responder", "icmp_responder2", "icmpr_lep", "icmp_responder3")
    names += ("icmp_responder4", "bridge4", "loopback4")
    for name in names:
        run([in_venv.prefix / "bin" / name, "-h"], env={})


def test_bytecode_survives_a_copy_that_does_not_keep_times(installed):
    for source in installed.package.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[4:8] == b"\x03\0\0\0", "expected bytecode checked by its source's hash"
        key = _imp.source_hash(importlib.util._RAW_MAGIC_NUMBER, source.read_bytes())
        assert compiled[8:16] == key
        code = marshal.loads(compiled[16:])  # noqa: S302 - just written by the build
        where = installed.prefix / source.relative_to(installed.tree)
        assert code.co_filename == str(where), "expected the path without the staging folder"
