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
from support.builds import PYTHON, ROOT, STANDARD, Installed, environment, run
from support.wireshark import Reader, shared_folder

from libmemif_py.tools.formats import control_trace, pcapng

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PATH = re.compile(r"`([\w.*-]+/[\w.*/-]+|[A-Z]+\.md)`")


@dataclass(frozen=True)
class Before:
    """Puts text before what a pattern finds: `times` times in the files that a chapter names."""

    pattern: str
    text: str  # \\1 is the pattern's first group
    times: int = 1

    def count(self, old: str) -> int:
        return len(re.findall(self.pattern, old, re.M))

    def apply(self, old: str) -> str:
        return re.sub(self.pattern, self._put, old, flags=re.M)

    def _put(self, match: re.Match[str]) -> str:
        return match.expand(self.text) + match[0]


class After(Before):
    """The same behind it."""

    def _put(self, match: re.Match[str]) -> str:
        return match[0] + match.expand(self.text)


NOTE_STRUCTURE = """
/* From the slave: a remark. */
typedef struct __attribute__((packed)) {
    uint8_t text[32];
} memif_msg_note_t;
"""
MESSAGE = [
    # wire.py
    Before(
        r"^# The fields of a message follow",
        'class Note(Message):\n    """Slave to master: a remark."""\n\n'
        '    __slots__ = ("text",)\n    label = "NOTE"\n    type_number = 9\n\n\n',
    ),
    After(r"    Disconnect: struct\.Struct\(.*\),\n", '    Note: struct.Struct("<H32s"),\n'),
    After(r"^MESSAGE_CLASSES = \(.*\bDisconnect", ", Note"),
    # the machine
    Before(r"^    UnknownTypeError,\n(?=    WireError,)", "    Note,\n", times=2),
    After(r"^    TakeRing,\n(?=\)\nfrom \.offer)", "    TakeNote,\n"),
    Before(
        r"^class Establish\(Action\):",
        'class TakeNote(Action):\n    """Master: act on a remark."""\n\n'
        '    __slots__ = ("text",)\n\n\n',
    ),
    After(r'\(ADDING, Connect\): "\w+",\n', '        (CONNECTED, Note): "_take_note",\n'),
    Before(
        r"    def _take_connect\(self, connect: Connect, _fd",
        "    def _take_note(self, note: Note, _fd: None) -> list[Action]:\n"
        "        return [TakeNote(note.text)]\n\n",
    ),
    # the link
    Before(
        r" +(\w+)\.Establish: self\._establish,\n", "            \\1.TakeNote: self._take_note,\n"
    ),
    Before(
        r"    def _establish\(self",
        "    def _take_note(self, action: actions.TakeNote) -> list[Action]:\n"
        '        self.disconnect(f"the note said {action.text.decode()}")\n'
        "        return []\n\n",
    ),
    # the relay
    After(
        r'\(CONNECTING, MASTER, Connected\): "\w+",\n',
        '        (CONNECTED, SLAVE, Note): "_take_note",\n',
    ),
    Before(
        r"    def _take_disconnect\(self, message: Disconnect, data",
        "    def _take_note(self, note: Note, data: bytes) -> tuple[bytes, list[Action]]:\n"
        "        return data, []\n\n",
    ),
    # memif.h, twice
    After(r"MEMIF_MSG_TYPE_DISCONNECT = 8", ",\n    MEMIF_MSG_TYPE_NOTE = 9", times=2),
    After(r"\} memif_msg_disconnect_t;\n", NOTE_STRUCTURE, times=2),
    After(
        r"        memif_msg_disconnect_t disconnect;\n",
        "        memif_msg_note_t note;\n",
        times=2,
    ),
    # drawings
    After(
        r"            waiting = self\._exchange\(waiting\)\n",
        '        note = self.wire.encode(self.wire.Note(b"hello"), 512)\n'
        '        self._do("master", "NOTE", lambda: self.machines["master"].receive(note))\n',
    ),
    # the dissector
    After(
        r"        text\(96,.*\n    \} \},\n",
        '    { name = "NOTE", from = SLAVE, fields = { text(32, "Text", "text") } },\n',
    ),
    # tests
    After(r"^    Init,\n(?=    WireError,)", "    Note,\n"),
    After(r"    st\.builds\(Disconnect, u32, text\(96\)\),\n", "    st.builds(Note, text(32)),\n"),
    After(r'parametrize\("number", \[0, (?=9, 0xFFFF\])', "9"),  # 99: 9 is known now
    After(r"^    Init,\n(?=    decode,)", "    Note,\n"),
    After(r'^ONE_OF_EACH = \[.*Disconnect\(1, b"bye"\)', ', Note(b"hello")'),
]
DRAWINGS = ["docs/drawings/handshake.svg", "docs/drawings/states.svg"]

QUEUE_FEATURE = [
    Before(r'^    unsealed: str = "trusted"\n', "    mute: bool = False\n"),
    After(
        r'            "untrusted": not .*,\n',
        '            "mute": settings.mute,\n',
    ),
    # the cdef, and the header
    After(r"^    uint8_t untrusted;.*\n", "    uint8_t mute;\n", times=2),
    After(r"^    MIF_SIGNAL_UNLOCKED = 4,.*\n", "    MIF_SIGNAL_NEVER = 8,\n"),
    After(r"\.signal_mode = \(uint8_t\)\(", "(config->mute ? MIF_SIGNAL_NEVER : 0) | "),
    Before(
        r"    return q->signal_mode != 0 \?",
        "    if (q->signal_mode & MIF_SIGNAL_NEVER)\n        return true;\n",
    ),
    After(
        r"        handshake_timeout: float = Settings\.handshake_timeout,\n",
        "        mute: bool = False,\n",
    ),
    After(r"            max_packet=settings\.whole\(.*\),\n", "            mute=mute,\n"),
    After(r"    handshake_timeout: float\n", "    mute: bool\n"),
]

DECLARATION = """/*
 * Gives the id of an interface.
 *
 * id: out.
 */
int memif_get_id(memif_conn_handle_t conn, uint32_t *id);

"""
V1_DEFINITION = """int mif_python_id(void *handle, uint32_t *id);

int memif_get_id(memif_conn_handle_t conn, uint32_t *id)
{
    if (mif_lookup(conn) == NULL)
        return MEMIF_ERR_NOCONN;
    if (id == NULL)
        return MEMIF_ERR_INVAL_ARG;
    int err = mif_embed_check();
    return err == MIF_ERR_SUCCESS ? mif_python_id(conn, id) : err;
}

"""
V4_DEFINITION = """int mif_python_id(void *handle, uint32_t *id);

int memif_get_id(memif_conn_handle_t conn, uint32_t *id)
{
    int err = mif_capi_check_handle(conn);
    if (err != MIF_ERR_SUCCESS)
        return err;
    return id == NULL ? MEMIF_ERR_INVAL_ARG : mif_python_id(conn, id);
}

"""
METHOD = """    def id(self, handle: Any, pointer: Any) -> None:
        \"\"\"memif_get_id.\"\"\"
        pointer[0] = self.find(handle).settings.interface_id

"""


def c_function(definition: str) -> list[Before]:
    """The same function for either API."""
    return [
        Before(r"^#ifdef __cplusplus\n\}\n#endif", DECLARATION),
        Before(r"^int memif_get_details\(.*\n\{", definition),
        After(r"^    memif_get_details;\n", "    memif_get_id;\n"),
        After(
            r'^extern "Python\+C" int mif_python_delete\(void \*handle\);\n',
            'extern "Python+C" int mif_python_id(void *handle, uint32_t *id);\n',
        ),
        Before(r"    def find\(self, handle: Any\)", METHOD),
        After(r'            "details": api\.details,\n', '            "id": api.id,\n'),
        After(r"\bmemif_get_details(?= -->)", " memif_get_id"),
        After(r"^memif_get_details\n", "memif_get_id\n"),
    ]


COMMAND = '''# SPDX-License-Identifier: Apache-2.0
"""`memif hello`: the shortest command."""

import click

from .options import EXAMPLES_FIRST


@click.command("hello", context_settings=EXAMPLES_FIRST)
def command() -> None:
    """Say hello.

    \\b
    Examples:
      memif hello --help

    Exit status: 0.
    """
    click.echo("hello, memif")
'''
# The page is empty until the script has written it.
NEW_FILES = {"libmemif_py/tools/hello.py": COMMAND, "docs/man/memif-hello.1": ""}
SUBCOMMAND = [
    After(r"^COMMANDS = \{\n", '    "hello": "Say hello.",\n'),
    Before(r"^  'info\.py',\n", "  'hello.py',\n"),
    Before(r"^memif top .*\n", "memif hello\n"),
    Before(r"^  'memif-info\.1',\n", "  'memif-hello.1',\n"),
    After(r"^COMMANDS = \[", '"hello", '),
]

PYTHON_METHOD = [
    Before(
        r"^    def flush\(self",
        "    def ask(self, packet: bytes, timeout: float | None = None) -> bytes:\n"
        '        """Send a packet and return the next one that comes."""\n'
        "        self.send(packet, timeout)\n"
        "        return self.recv(timeout)\n\n",
    ),
    Before(
        r"^    async def wait_connected\(self",
        "    async def ask(self, packet: bytes) -> bytes:\n"
        '        """Send a packet and return the next one that comes."""\n'
        "        await self.send(packet)\n"
        "        return await self.recv()\n\n",
    ),
    Before(r'^    "connected": lambda', '    "ask": lambda memif: memif.ask(b"x"),\n'),
]

CHAPTERS = {
    "A message": MESSAGE,
    "A queue feature": QUEUE_FEATURE,
    "A C function of the 1.0 API": c_function(V1_DEFINITION),
    "A C function of the 4.0 API": c_function(V4_DEFINITION),
    "A subcommand of `memif`": SUBCOMMAND,
    "A Python method": PYTHON_METHOD,
}


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
