# SPDX-License-Identifier: Apache-2.0
"""Programs that are compiled go on running: the binary interfaces are those in abi/."""

import re
from pathlib import Path

import abi_record
import pytest
from support import builds
from support.builds import APIS, Api, each_api


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[Api, Path]:
    """The interfaces of this checkout. Of a debug build: abidw reads types from its debug
    information, and they are those of a release."""
    build = builds.debug(tmp_path_factory)
    folder = tmp_path_factory.mktemp("abi")
    made = {api: folder / f"{api}.abi" for api in APIS}
    for api, file in made.items():
        abi_record.record(api.headers, build.library(api), file)
    return made


@each_api
def test_the_interface_is_the_recorded_one(files, api):
    status, said = abi_record.compare(api.headers, files[api])
    assert status == 0, f"{said}\nif that is meant, and compatible: ./bootstrap abi records it"


@each_api
def test_the_record_knows_all_functions_and_their_types(api):
    text = abi_record.recorded(api.headers).read_text()
    assert sorted(re.findall(r"<elf-symbol name='(\w+)'", text)) == api.exported
    typed = re.findall(r"<function-decl name='(\w+)' .*elf-symbol-id=", text)
    assert sorted(typed) == api.exported


@each_api
def test_the_record_has_no_path_of_a_machine(api):
    assert "/" not in re.sub(r"/>|</", "", abi_record.recorded(api.headers).read_text())


def with_another(text: str, pattern: str, replacement: str) -> str:
    changed, count = re.subn(pattern, replacement, text)
    assert count == 1, f"{pattern} is there {count} times"
    return changed


@each_api
@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("    <elf-symbol name='memif_get_details'.*\n", ""),
        ("(type-decl name='unsigned int' size-in-bits=)'32'", r"\1'64'"),
        ("(enumerator name='MEMIF_RX_MODE_POLLING' value=)'1'", r"\1'2'"),
    ],
    ids=["a function is gone", "an integer is wider", "a constant has another value"],
)
def test_an_incompatible_change_is_seen(tmp_path, api, pattern, replacement):
    changed = with_another(abi_record.recorded(api.headers).read_text(), pattern, replacement)
    (tmp_path / "changed.abi").write_text(changed)
    status, said = abi_record.compare(api.headers, tmp_path / "changed.abi")
    assert not status & abi_record.FAILED, said
    assert status & abi_record.CHANGED, said
