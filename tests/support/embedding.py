# SPDX-License-Identifier: Apache-2.0
"""What the tests of programs that embed the library have in common."""

import sysconfig
from pathlib import Path

from support.builds import V1, V4, Api, Installed, run

NOBODY = 65534
SUCCESS, SYSCALL = 0, 1
PROC_FILE_LIMIT = {V1: 5, V4: 6}
NOMEM = {V1: 9, V4: 10}
INVAL_ARG_4 = 11
STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
COMPLAINT = "libmemif: cannot start the control plane: "


def silently(command: list[Path | str], **options) -> None:
    """Run; the program must succeed and print nothing."""
    result = run(command, **options)
    assert result.stdout + result.stderr == ""


def codes(program: Path | str, *arguments: Path | str, **options) -> tuple[dict[str, int], str]:
    """What the calls of programs/codes.c returned, and stderr."""
    result = run([program, *arguments], **options)
    lines = [line.split() for line in result.stdout.splitlines()]
    return {call: int(code) for call, code in lines}, result.stderr


def assert_refused(returned: dict[str, int], stderr: str, reason: str) -> None:
    """Every call failed, and stderr has one line that says why."""
    assert returned["begin"] == returned["begin_again"] == SYSCALL
    assert returned["create"] != SUCCESS
    assert returned["poll"] != SUCCESS
    assert returned["delete"] != SUCCESS
    assert stderr.startswith(COMPLAINT)
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")
    assert reason in stderr


TWO_CALLS = """
import ctypes, sys
try:
    library = ctypes.CDLL(sys.argv[1])
except OSError as error:
    sys.exit("not loaded: %s" % error)
if hasattr(library, "memif_init"):
    call = lambda: library.memif_init(None, b"x")
else:
    call = lambda: library.memif_create_socket(ctypes.byref(ctypes.c_void_p()), bytes(208), None)
print(call(), call())
"""


def compile_codes(installed: Installed, folder: Path, api: Api) -> Path:
    return installed.compile(folder / "codes", ["codes.c", api.exchange], api=api)
