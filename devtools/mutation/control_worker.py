# SPDX-License-Identifier: Apache-2.0
"""Runs pytest for control.py, in a child of a process that has loaded pytest already.

A line of input is a JSON object: "arguments" of pytest and "timeout" in seconds. So is the answer:
"status" (null after the timeout) and "output".
"""

import json
import os
import select
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import IO, Any

import hypothesis  # noqa: F401 - takes long to load
import pytest


def run(arguments: list[str], timeout: float) -> dict[str, Any]:
    """Run to the end, or to the timeout, with whatever the tests start."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _become_pytest(arguments, output)
        pidfd = os.pidfd_open(child)
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        in_time = bool(poller.poll(timeout * 1000))
        os.close(pidfd)
        # Until waitpid the child is a zombie, so its group cannot be anybody else's.
        os.killpg(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        text = output.read().decode(errors="replace")
    return {"status": status if in_time else None, "output": text[-4000:]}


def _become_pytest(arguments: list[str], output: IO[bytes]) -> None:
    status = 70
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        status = int(pytest.main(arguments))
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main() -> None:
    """Answer until there is no more input."""
    os.chdir(Path(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        answers.write(json.dumps(run(**json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
