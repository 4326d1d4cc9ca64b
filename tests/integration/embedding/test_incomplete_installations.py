# SPDX-License-Identifier: Apache-2.0
"""Whatever is missing or damaged is one line and an error code."""

import shutil
from pathlib import Path

import pytest
from support import builds
from support.builds import BASE_PYTHON, V1, V4, Installed, each_api, run
from support.embedding import (
    COMPLAINT,
    STDLIB,
    SUCCESS,
    TWO_CALLS,
    assert_refused,
    codes,
    compile_codes,
)


def remove_package(installed: Installed) -> None:
    shutil.rmtree(installed.package)


def remove_module(name: str):
    def damage(installed: Installed) -> None:
        (installed.package / f"{name}.py").unlink()

    return damage


def replace_module(name: str, text: str):
    def damage(installed: Installed) -> None:
        (installed.package / f"{name}.py").write_text(text)

    return damage


def cut_bytecode(installed: Installed) -> None:
    (compiled,) = (installed.package / "control" / "__pycache__").glob("hub.*.pyc")
    compiled.write_bytes(compiled.read_bytes()[:100])


def backend(installed: Installed) -> Path:
    (path,) = (installed.package / "_runtime").glob("_cffi_backend.*")
    return path


def remove_backend(installed: Installed) -> None:
    backend(installed).unlink()


def spoilt_backend(installed: Installed) -> None:
    path = backend(installed)
    path.write_bytes(bytes(path.stat().st_size))


def foreign_backend(installed: Installed) -> None:
    path = backend(installed)
    path.unlink()
    path.with_name("_cffi_backend.py").write_text("")


DAMAGES = {
    "no package": (remove_package, "the package libmemif_py is missing"),
    "no inner module": (
        remove_module("control/link"),
        "No module named 'libmemif_py.control.link'",
    ),
    "syntax": (replace_module("control/hub", "def broken(:\n"), "SyntaxError: "),
    "empty module": (replace_module("control/hub", ""), "cannot import name 'Hub'"),
    "null bytes": (replace_module("control/wire", "\0\0"), "null bytes"),
    "error": (replace_module("control/hub", "raise RuntimeError('two\\nlines')"), "two lines"),
    "exit": (replace_module("control/hub", "raise SystemExit(0)"), "SystemExit: 0"),
    "interrupt": (replace_module("control/hub", "raise KeyboardInterrupt"), "KeyboardInterrupt"),
    "late error": (
        replace_module("control/native", "DEBUG, INFO, WARNING = 10, 20, 30\nclass Native: pass"),
        "TypeError: ",
    ),
    "bytecode": (cut_bytecode, "EOFError: "),
    "no backend": (remove_backend, "No module named '_cffi_backend'"),
    "spoilt backend": (spoilt_backend, "_cffi_backend"),
    "foreign backend": (foreign_backend, "_cffi_backend"),
}


@each_api
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_incomplete_installation_is_one_line_and_errors(broken, tmp_path, damage, api):
    apply, reason = DAMAGES[damage]
    program = compile_codes(broken, tmp_path, api)
    apply(broken)
    assert_refused(*codes(program, tmp_path / "socket", env={}), reason)


@each_api
def test_each_library_needs_its_own_module_of_the_control_plane(broken, tmp_path, api):
    program = compile_codes(broken, tmp_path, api)
    (other,) = {V1, V4} - {api}
    remove_module(f"capi/{other.name}")(broken)
    assert codes(program, tmp_path / "socket", env={})[0]["begin"] == SUCCESS
    remove_module(f"capi/{api.name}")(broken)
    reason = f"No module named 'libmemif_py.capi.{api.name}'"
    assert_refused(*codes(program, tmp_path / "socket", env={}), reason)


@each_api
def test_a_python_program_survives_an_incomplete_installation(broken, api):
    remove_module(f"capi/{api.name}")(broken)
    result = run([BASE_PYTHON, "-c", TWO_CALLS, broken.library(api)], env={})
    assert result.stdout == "1 1\n"
    assert result.stderr.startswith(COMPLAINT)
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module", params=[V1, V4], ids=str)
def with_other_stdlib(request, compiled, tmp_path_factory):
    """Runs programs/codes.c as if the standard library were elsewhere."""
    preloaded = tmp_path_factory.mktemp("preloaded") / "other_stdlib.so"
    builds.compile_program(preloaded, ["other_stdlib.c"], "-shared", "-fPIC")
    program = compiled("codes", api=request.param)

    def call(folder: Path, instead: Path | str) -> tuple[dict[str, int], str]:
        where = {"STDLIB": str(STDLIB), "STDLIB_INSTEAD": str(instead)}
        return codes(program, folder / "socket", env={"LD_PRELOAD": str(preloaded), **where})

    return call


def linked_stdlib(folder: Path, *without: str) -> Path:
    """A standard library that lacks some modules."""
    copy = folder / "lib" / "python"
    copy.mkdir(parents=True)
    for path in STDLIB.iterdir():
        if path.name not in without:
            (copy / path.name).symlink_to(path)
    return copy


def test_without_the_standard_library_it_says_so(with_other_stdlib, tmp_path):
    assert_refused(*with_other_stdlib(tmp_path, ""), "no standard library")


def test_a_standard_library_that_python_cannot_start_with_is_none(with_other_stdlib, tmp_path):
    incomplete = linked_stdlib(tmp_path, "encodings")
    assert_refused(*with_other_stdlib(tmp_path, incomplete), "no standard library")


def test_a_module_missing_from_the_standard_library_is_named(with_other_stdlib, tmp_path):
    incomplete = linked_stdlib(tmp_path, "struct.py")
    assert_refused(*with_other_stdlib(tmp_path, incomplete), "No module named 'struct'")
