# SPDX-License-Identifier: Apache-2.0
"""Control traces: read one, and make one of the recorded handshakes.

    PYTHONPATH=tests python -m support.control_traces FILE [NAME...]

writes a trace of all the handshakes in captures/, or of those named.

Each handshake is one connection, told from the master's side: what the slave sends is received.
"""

import sys
from pathlib import Path

from libmemif_py.tools.formats import control_trace, pcapng
from libmemif_py.tools.formats.control_trace import MASTER, RECEIVED, SENT, SLAVE, Entry
from support.fakelink import recordings

BEGIN = 1_700_000_000_000_000_000
STEP = 100_000
SLAVE_PID = 2000


def entries_of(path: Path) -> list[Entry]:
    """A whole trace."""
    with path.open("rb") as file:
        records = list(pcapng.read(file))
    assert {record.link_type for record in records} <= {control_trace.LINK_TYPE}
    return [control_trace.decode(record.data) for record in records]


def recorded_entries(names: list[str]) -> list[Entry]:
    chosen = [r for r in recordings() if not names or r.name in names]
    assert chosen, f"no recording is named {names}"
    entries = []
    for number, recording in enumerate(chosen, 1):
        for role, data, fds in recording.datagrams:
            direction, sender = (SENT, MASTER) if role == "master" else (RECEIVED, SLAVE)
            pid = SLAVE_PID + number
            entries.append(Entry(direction, len(fds), sender, pid, number, 0, data))
        entries.append(Entry(RECEIVED, 0, SLAVE, SLAVE_PID + number, number, 0, b""))
    return entries


def write_sample(path: Path, names: list[str]) -> None:
    with path.open("wb") as file:
        writer = control_trace.TraceWriter(file, ("/run/memif/recorded.sock",))
        for step, entry in enumerate(recorded_entries(names)):
            writer.write(entry, BEGIN + step * STEP)


if __name__ == "__main__":
    write_sample(Path(sys.argv[1]), sys.argv[2:])
