# SPDX-License-Identifier: Apache-2.0
"""CONTRIBUTING.md names every file that an addition touches.

One of each kind is made in a copy of the sources, by edits of files that its chapter names and no
others. The copy is built once; then each addition is used, and tests of the copy run.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.additions import CHAPTERS, DRAWINGS, NEW_FILES
from support.builds import PYTHON, ROOT, STANDARD, Installed, environment, run
from support.wireshark import Reader, shared_folder

from libmemif_py.tools.formats import control_trace, pcapng

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PATH = re.compile(r"`([\w.*-]+/[\w.*/-]+|[A-Z]+\.md)`")


def named(chapter: str) -> list[str]:
    """The paths that a chapter names, as they may be globbed."""
    text = PAGE.partition(f"\n### {chapter}\n")[2]
    assert text, f"CONTRIBUTING.md has no chapter {chapter!r}"
    return sorted(set(PATH.findall(re.split(r"\n##+ ", text)[0])))


def named_files(chapter: str, folder: Path) -> list[Path]:
    """Those of them that are files there."""
    return [file for name in named(chapter) for file in folder.glob(name) if file.is_file()]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_names_files_that_exist(chapter):
    for name in named(chapter):
        assert "NAME" in name or list(ROOT.glob(name)), f"{chapter!r}: no {name}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_names_every_file_that_is_edited(chapter):
    files = named_files(chapter, ROOT)
    for change in CHAPTERS[chapter]:
        found = sum(change.count(file.read_text()) for file in files)
        assert found == change.times, f"{chapter!r}: {change.pattern!r} is there {found} times"
    templates = [name.replace("NAME", "hello") for name in named("A subcommand of `memif`")]
    assert NEW_FILES.keys() <= set(templates)


@dataclass(frozen=True)
class Copy:
    """A copy of the sources with all additions, built and installed."""

    sources: Path
    build: Path
    installed: Installed

    def run(self, command: Sequence[Path | str], **options) -> str:
        """With the Python package of the copy."""
        packages = str(self.installed.package.parent)
        env = environment(PYTHONPATH=packages, PYTHONSAFEPATH="1")
        return run(command, env=env, cwd=self.sources, timeout=120, **options).stdout

    def python(self, code: str, *arguments: Path | str) -> str:
        return self.run([PYTHON, "-c", code, *arguments])


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    folder = tmp_path_factory.mktemp("howto")
    sources, build = folder / "sources", folder / "build"
    copying = (
        f"import sources; from pathlib import Path; sources.copy_sources(Path({str(sources)!r}))"
    )
    run([PYTHON, "-c", copying], cwd=ROOT / "devtools/bootstrap")
    for name, text in NEW_FILES.items():
        (sources / name).write_text(text)
    for chapter, changes in CHAPTERS.items():
        for file in named_files(chapter, sources):
            text = file.read_text()
            for change in changes:
                text = change.apply(text)
            file.write_text(text)
    installed = Installed(folder / "prefix")
    meson = [PYTHON, "-m", "mesonbuild.mesonmain"]
    options = [f"--prefix={installed.prefix}", "--libdir=lib", "--buildtype=release"]
    run([*meson, "setup", build, sources, *options, "-Ddebug=true"], timeout=120)
    run([*meson, "install", "-C", build, "--quiet"], timeout=300)
    return Copy(sources, build, installed)


EXCHANGE = """
import sys, threading
from libmemif_py import Interface
from libmemif_py.control import wire

said, over = [], threading.Event()

def ended(memif, reason):
    said.append(reason)
    over.set()

with Interface(sys.argv[1], role="master") as master:
    with Interface(sys.argv[1], on_disconnect=ended) as slave:
        slave.wait_connected(60)
        master.wait_connected(60)
        note = wire.encode(wire.Note(b"hello"), wire.VERSION_2)
        slave._endpoint.link.channel.send(note)
        assert over.wait(60)
print(said[0])
"""


def test_a_new_message_goes_through_machine_and_link(copy, tmp_path):
    assert "the note said hello" in copy.python(EXCHANGE, tmp_path / "socket")


MUTE = """
import select, sys
from libmemif_py import Interface

for mute in (False, True):
    with (
        Interface(sys.argv[1], role="master") as master,
        Interface(sys.argv[1], mute=mute) as slave,
    ):
        slave.send(b"x", 60)
        master.wait_connected(60)
        (signal,) = master._endpoint.link.rx_efds()
        print(len(select.select([signal], [], [], 0)[0]), master.recv(0))
"""


def test_a_new_queue_feature_works_on_the_data_path(copy, tmp_path):
    assert copy.python(MUTE, tmp_path / "socket") == "1 b'x'\n0 b'x'\n"


PROGRAM = """
#include <libmemif.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    memif_conn_handle_t conn = NULL;
    memif_conn_args_t args;
    uint32_t id = 0;

    memset(&args, 0, sizeof(args));
    args.interface_id = (uint32_t)argc + 5;
    args.is_master = 1;
#ifdef MEMIF_BUFFER_FLAG_NEXT
    memif_socket_handle_t sock;
    memif_socket_args_t sock_args;
    memset(&sock_args, 0, sizeof(sock_args));
    strncpy(sock_args.path, argv[1], sizeof(sock_args.path) - 1);
    int err = memif_create_socket(&sock, &sock_args, NULL);
    args.socket = sock;
#else
    args.socket_filename = (uint8_t *)argv[1];
    int err = memif_init(NULL, NULL);
#endif
    if (err == 0)
        err = memif_create(&conn, &args, NULL, NULL, NULL, NULL);
    if (err == 0)
        err = memif_get_id(conn, &id);
    printf("%u %s\\n", id, memif_strerror(err));
    if (conn != NULL)
        memif_delete(&conn);
    return memif_get_id(conn, &id) != MEMIF_ERR_NOCONN;
}
"""


@pytest.mark.parametrize(("api", "file"), [("1", "libmemif.so.0"), ("4", "libmemif4/libmemif.so")])
def test_a_new_c_function_is_declared_exported_and_reaches_the_control_plane(
    copy, tmp_path, api, file
):
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    library = copy.installed.library_dir / file
    headers = copy.installed.include_dir / f"libmemif{api}"
    link = [f"-L{library.parent}", f"-l:{library.name}", f"-Wl,-rpath,{library.parent}"]
    run(["cc", *STANDARD, f"-I{headers}", source, "-o", program, *link])
    assert run([program, tmp_path / "socket"]).stdout.startswith("7 ")
    manual = copy.installed.tree / "share" / "man" / "man3" / f"memif_get_id.3memif{api}"
    assert "Gives the id of an interface." in manual.read_text().replace("gives", "Gives")


def test_the_record_of_the_binary_interface_is_written_anew(copy):
    copy.run([PYTHON, "devtools/abi_record.py", copy.build])
    for api in "14":
        assert f"abi/libmemif{api}.abi" in named(f"A C function of the {api}.0 API")
        old = (ROOT / "abi" / f"libmemif{api}.abi").read_text()
        new = (copy.sources / "abi" / f"libmemif{api}.abi").read_text()
        names = [re.findall(r"elf-symbol name='(\w+)'", text) for text in (old, new)]
        assert set(names[1]) - set(names[0]) == {"memif_get_id"}


def test_the_drawings_show_a_new_message(copy):
    copy.run([PYTHON, "-B", "docs/tools/drawings.py"])
    for path in DRAWINGS:
        assert path in named("A message")
        assert "NOTE" in (copy.sources / path).read_text()


def test_the_proof_takes_a_new_message(copy):
    said = copy.run([PYTHON, "-B", "proofs/handshake/enumerate.py"])
    assert said.endswith(": all claims hold\n")


def test_wireshark_shows_a_new_message(copy):
    """One that is not in memif.lua would fail test_wireshark_dissector.py."""
    with shared_folder() as folder:
        reader = Reader(folder, copy.installed.library_dir / "wireshark/plugins/memif.lua")
        packet = struct.pack("<BBBBIIHHH32s94x", 1, 0, 0, 2, 0, 1, 512, 0, 9, b"hello")
        with (folder / "trace.pcapng").open("wb") as file:
            pcapng.PcapngWriter(file, control_trace.LINK_TYPE).write(packet, 0)
        rows = reader.rows(folder / "trace.pcapng", ["memif.note.text", "_ws.expert.message"])
    assert rows == [["hello", ""]]


def test_a_new_subcommand_is_there_with_its_help(copy):
    memif = [PYTHON, "-m", "libmemif_py.tools"]
    assert "hello" in copy.run([*memif, "--help"])
    assert "Say hello." in copy.run([*memif, "hello", "--help"])
    assert copy.run([*memif, "hello"]) == "hello, memif\n"


def test_a_new_subcommand_gets_a_manual_page(copy):
    copy.run([PYTHON, "-B", "docs/tools/command_manual.py"])
    page = (copy.sources / "docs/man/memif-hello.1").read_text()
    assert "memif\\-hello \\- say hello\n" in page


ASK = """
import asyncio, inspect, sys, threading
from libmemif_py import Interface
from libmemif_py.aio import AsyncInterface

def answer():
    with Interface(sys.argv[1], role="master") as master:
        for _ in range(2):
            master.send(master.recv(60)[::-1], 60)
        master.flush(60)

async def ask():
    async with AsyncInterface(sys.argv[1]) as slave:
        return await asyncio.wait_for(slave.ask(b"ab"), 60)

thread = threading.Thread(target=answer)
thread.start()
with Interface(sys.argv[1]) as slave:
    print(slave.ask(b"xyz", 60))
print(asyncio.run(ask()))
thread.join()
print(inspect.getdoc(Interface.ask))
"""


def test_a_new_method_works_and_is_documented(copy, tmp_path):
    said = copy.python(ASK, tmp_path / "socket").splitlines()
    assert said == ["b'zyx'", "b'ba'", "Send a packet and return the next one that comes."]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["tests/unit/test_wire.py"], None),
        (["tests/unit/handshake/test_transitions.py"], None),
        (["tests/docs/test_docs.py"], "place_in_the_reference or names_is_one"),
        (["tests/integration/fork/test_inherited_interfaces.py"], "all_there_are"),
        (["tests/integration/memif_command/test_all_commands.py"], "help"),
    ],
    ids=lambda value: value[0].rpartition("/")[2] if isinstance(value, list) else "",
)
def test_the_tests_of_the_copy_pass(copy, files, wanted):
    """Those that compare lists with what there is: they fail when a file was forgotten."""
    words = ["-q", "-p", "no:cacheprovider", *files, *(["-k", wanted] if wanted else [])]
    copy.run([PYTHON, "-m", "pytest", *words])
