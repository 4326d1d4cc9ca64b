# SPDX-License-Identifier: Apache-2.0
"""Errors inside the control plane are error codes to the program."""

import pytest
from support.builds import BASE_PYTHON, V1, V4, Installed, each_api, run
from support.embedding import (
    INVAL_ARG_4,
    NOMEM,
    PROC_FILE_LIMIT,
    SUCCESS,
    SYSCALL,
    codes,
    compile_codes,
)

INJECTED = """

def _raise(*_):
    raise {error}


Hub.{function} = _raise
"""

EACH_SYSCALL = {V1: SYSCALL, V4: SYSCALL}
INJECTIONS = {
    "RuntimeError('two\\nlines')": EACH_SYSCALL,
    "RecursionError": EACH_SYSCALL,
    "KeyboardInterrupt": EACH_SYSCALL,
    "SystemExit(0)": EACH_SYSCALL,
    "MemoryError": NOMEM,
    "OSError(24, 'too many files')": PROC_FILE_LIMIT,
    "UnicodeDecodeError('utf-8', b'', 0, 1, 'bad')": EACH_SYSCALL,
}


def inject(installed: Installed, function: str, error: str) -> None:
    hub = installed.package / "control/hub.py"
    hub.write_text(hub.read_text() + INJECTED.format(function=function, error=error))


@each_api
@pytest.mark.parametrize("error", INJECTIONS)
def test_an_exception_in_a_call_is_an_error_code(broken, tmp_path, error, api):
    program = compile_codes(broken, tmp_path, api)
    inject(broken, "add", error)
    returned, stderr = codes(program, tmp_path / "socket", env={})
    expected = INJECTIONS[error][api]
    assert (returned["begin"], returned["create"], stderr) == (SUCCESS, expected, "")
    assert returned["end"] == SUCCESS


@each_api
def test_an_exception_in_an_event_is_an_error_code(broken, tmp_path, api):
    program = compile_codes(broken, tmp_path, api)
    inject(broken, "on_event", "RuntimeError('inside')")
    returned, stderr = codes(program, tmp_path / "socket", env={})
    assert (returned["create"], returned["poll"], stderr) == (SUCCESS, SYSCALL, "")
    assert returned["delete"] == SUCCESS


FAILING_ONCE = """

_close = Hub.close


def _raise(self):
    Hub.close = _close
    raise OSError


Hub.close = _raise
"""


def let_close_fail_once(installed: Installed) -> None:
    hub = installed.package / "control/hub.py"
    hub.write_text(hub.read_text() + FAILING_ONCE)


def test_a_failed_cleanup_can_be_followed_by_init(broken, tmp_path):
    program = broken.compile(tmp_path / "twice", ["twice.c", V1.exchange])
    let_close_fail_once(broken)
    result = run([program, tmp_path / "socket"], env={})
    assert (result.stdout, result.stderr) == (f"{SYSCALL}\n", "")


DELETE_SOCKET = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
socket = ctypes.c_void_p()
library.memif_create_socket(ctypes.byref(socket), bytes(208), None)
print(*[library.memif_delete_socket(ctypes.byref(socket)) for _ in range(2)], socket)
"""


def test_a_socket_whose_deletion_fails_is_gone_all_the_same(broken):
    let_close_fail_once(broken)
    result = run([BASE_PYTHON, "-c", DELETE_SOCKET, broken.library(V4)], env={})
    assert (result.stdout, result.stderr) == (f"{SYSCALL} {INVAL_ARG_4} c_void_p(None)\n", "")


@each_api
def test_with_debug_lines_on_the_traceback_of_an_unforeseen_exception_shows(broken, tmp_path, api):
    program = compile_codes(broken, tmp_path, api)
    inject(broken, "add", "RuntimeError('inside')")
    returned, stderr = codes(program, tmp_path / "socket", env={"LIBMEMIF_DEBUG": "1"})
    assert returned["create"] == SYSCALL
    assert "Traceback" in stderr
    assert "RuntimeError: inside" in stderr
