# SPDX-License-Identifier: Apache-2.0
"""One addition of each kind that CONTRIBUTING.md describes, as edits of the sources."""

import re
from dataclasses import dataclass


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
    # the proof
    After(r'    "DISCONNECT": \(8, "I96s"\),\n', '    "NOTE": (9, "32s"),\n'),
    After(r"^ALLOWED = \{\n", '    ("master", "CONNECTED", "NOTE"),\n'),
    Before(
        r"        self\._check_complete\(\)\n",
        '        if label == "NOTE":\n            return self, [Answer("TakeNote", fields)]\n',
    ),
    After(r'        "ACK": \[\(\)\],\n', '        "NOTE": [(b"hello",)],\n'),
    After(r'    "master": \("INIT", ', '"NOTE", '),
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
