# SPDX-License-Identifier: Apache-2.0
"""What cannot be had: descriptors, memory, a place for the socket; and callbacks that throw.

Each time a code says so, nothing is left behind, and all works when the cause is gone. The programs
check the last two by themselves (tests/programs/faults.c).

A connection comes about, carries packets and ends in some hundreds of system calls. Each of them
fails in its turn, with one of the errors that its manual page has (another one each time); with
--all-errors with each of them, which takes some minutes.
"""

import signal
import sys
from pathlib import Path

import pytest
from support import builds
from support.builds import V1, V4, Api, Installed, each_api, environment, run

MIB = 1 << 20
SUCCESS, SYSCALL = 0, 1
ACCES = {V1: 2, V4: 3}
NO_FILE = {V1: 3, V4: 4}
FILE_LIMIT = {V1: 4, V4: 5}
PROC_FILE_LIMIT = {V1: 5, V4: 6}
ALREADY = {V1: 6, V4: 7}
AGAIN = {V1: 7, V4: 8}
BAD_FD = {V1: 8, V4: 9}
NOMEM = {V1: 9, V4: 10}
CODES = {
    "ENOMEM": NOMEM,
    "EMFILE": PROC_FILE_LIMIT,
    "ENFILE": FILE_LIMIT,
    "EAGAIN": AGAIN,
    "EBADF": BAD_FD,
    **dict.fromkeys(("EACCES", "EPERM", "EROFS"), ACCES),
    **dict.fromkeys(("ENOENT", "ENOTDIR"), NO_FILE),
}
MAKE_AND_CONNECT = {
    *("malloc", "realloc", "mmap", "mprotect", "memfd_create", "ftruncate64", "eventfd", "fcntl64"),
    *("epoll_create1", "epoll_ctl", "epoll_wait", "timerfd_create", "timerfd_settime"),
    *("socket", "bind", "listen", "connect", "accept4", "sendmsg", "recvmsg", "getsockopt"),
    *("open64", "openat64", "lstat64", "fstat64", "fstatat64", "flock", "unlinkat", "close"),
    *("readlink", "fstatvfs64", "ioctl"),
}
EXCHANGE_AND_END = {
    *("write", "sendmsg", "recvmsg", "shutdown", "epoll_ctl", "munmap", "syscall"),
    *("lstat64", "unlink", "close"),
}
versions = pytest.mark.parametrize("version", [256, 512])


@pytest.fixture(scope="module")
def failing(tmp_path_factory) -> Path:
    """What has calls fail, to be preloaded."""
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    return builds.compile_program(library, ["failing.c"], "-shared", "-fPIC")


class Round:
    """One line of faults.c."""

    def __init__(self, line: str):
        self.what, self.error, code, self.text, self.state = line.split("|", 4)
        self.code = int(code) if code.isdigit() else code


def rounds(command: list[Path | str], **variables: str) -> list[Round]:
    result = run(command, env=environment(**variables), timeout=600)
    return [Round(line) for line in result.stdout.splitlines()]


def makes_and_connects(errors: list[str]) -> set[str]:
    """What has to fail. With all errors a process has had so many handles that none is new."""
    return MAKE_AND_CONNECT - {"mprotect"} if errors else MAKE_AND_CONNECT


@pytest.fixture
def errors(pytestconfig) -> list[str]:
    """What tells the programs which errors of a call to play."""
    return ["all"] if pytestconfig.getoption("all_errors") else []


def code_of(failed: Round, api: Api) -> int:
    """What says that the call failed with that error."""
    if failed.what == "mmap":
        return NOMEM[api]
    if failed.what == "fstatat64" and failed.error in ("ENOENT", "ENOTDIR"):
        return ACCES[api]  # somebody took the socket file away as soon as it was made
    if failed.what == "bind" and failed.error == "EADDRINUSE":
        return ALREADY[api]
    return CODES[failed.error][api] if failed.error in CODES else SYSCALL


@each_api
@versions
def test_each_call_that_fails_is_survived(faults, failing, tmp_path, api, version, errors):
    command = [faults(api), tmp_path / "socket", "calls", *errors]
    played = rounds(command, LD_PRELOAD=str(failing), LIBMEMIF_PROTOCOL=str(version))
    assert {r.what for r in played} >= makes_and_connects(errors)
    for r in played:
        # SUCCESS: in the course of a handshake, which ends and comes to a second attempt.
        assert r.code in (SUCCESS, code_of(r, api)), (r.what, r.error)


@each_api
@versions
def test_each_call_that_fails_at_the_end_leaves_nothing(
    faults, failing, tmp_path, api, version, errors
):
    command = [faults(api), tmp_path / "socket", "ends", *errors]
    played = rounds(command, LD_PRELOAD=str(failing), LIBMEMIF_PROTOCOL=str(version))
    assert {r.what for r in played} >= EXCHANGE_AND_END
    for r in played:
        assert r.code in (SUCCESS, code_of(r, api)), (r.what, r.error)
    # A file that may not be removed is no secret.
    refused = [r for r in played if r.what == "unlink" and r.error != "ENOENT"]
    assert refused
    assert SUCCESS not in {r.code for r in refused}


@each_api
def test_a_master_whose_file_may_not_be_removed_ends_all_the_same(faults, tmp_path, api):
    folder = tmp_path / "folder"
    folder.mkdir()
    result = run([faults(api), folder / "socket", "stuck", folder])
    assert result.stdout == f"{ACCES[api]}\n"


def test_a_path_of_v1_is_as_long_as_any(faults, tmp_path):
    folder = tmp_path.joinpath(*["f" * 250] * 10)
    folder.mkdir(parents=True)
    run([faults(V1), folder / ("s" * 250), "connect"])


def test_a_long_path_is_no_harder_to_make_when_calls_fail(faults, failing, tmp_path, errors):
    """Its address is a descriptor's, its file is renamed."""
    command = [faults(V1), tmp_path / ("s" * 200), "calls", *errors]
    played = rounds(command, LD_PRELOAD=str(failing))
    assert {r.what for r in played} >= makes_and_connects(errors) | {"renameat"}


@each_api
@versions
def test_each_descriptor_that_is_lacking_is_survived(faults, tmp_path, api, version):
    command = [faults(api), tmp_path / "socket", "fds"]
    played = rounds(command, LIBMEMIF_PROTOCOL=str(version))
    assert len(played) > 10
    assert {r.code for r in played} == {SUCCESS, PROC_FILE_LIMIT[api]}
    assert [r.state for r in played] == (["down"] * (len(played) // 2 - 1) + ["up"]) * 2


# The start of the interpreter takes 32 MiB at least, and from some hundreds on there is no want.
@each_api
def test_a_process_with_little_memory_is_told_so_and_goes_on(faults, tmp_path, api):
    codes = set()
    for mib in [*range(0, 40, 8), *range(44, 60), *range(60, 600, 60)]:
        (r,) = rounds([faults(api), tmp_path / "socket", "memory", str(mib * MIB)])
        codes.add(r.code)
    assert codes == {SUCCESS, NOMEM[api]}


@each_api
def test_a_socket_that_cannot_be_there_is_refused_with_a_code(faults, tmp_path, api):
    (tmp_path / "file").touch()
    for path, code in (
        (tmp_path / "file" / "socket", NO_FILE[api]),
        (tmp_path / "missing" / "socket", NO_FILE[api]),
    ):
        assert run([faults(api), path, "create"]).stdout == f"{code}\n"
    assert run([faults(api), "/proc/socket", "create"]).stdout.strip() in map(
        str, (NO_FILE[api], ACCES[api])
    )


@each_api
def test_a_folder_that_denies_a_master_can_be_opened_to_it(faults, tmp_path, api):
    folder = tmp_path / "folder"
    folder.mkdir()
    # The folders above are closed to everybody else.
    result = run([faults(api), folder / "socket", "denied", folder])
    assert result.stdout == f"{ACCES[api]}\n"


# ---- the Python package


def python_rounds(
    installed: Installed, tmp_path: Path, *options: str, **variables: str
) -> list[Round]:
    paths = {"PYTHONPATH": str(installed.package.parent)}
    command = [sys.executable, builds.PROGRAMS / "faults.py", tmp_path / "socket", *options]
    return rounds(command, **paths, **variables)


def test_python_survives_each_call_that_fails(installed, failing, tmp_path, errors):
    played = python_rounds(installed, tmp_path, "calls", *errors, LD_PRELOAD=str(failing))
    assert {r.what for r in played} >= makes_and_connects(errors) | EXCHANGE_AND_END
    # Out of `Interface` and `close` come the errors of the package alone.
    assert not [r for r in played if isinstance(r.code, int)]


def test_python_survives_each_descriptor_that_is_lacking(installed, tmp_path):
    played = python_rounds(installed, tmp_path, "fds")
    assert len(played) > 10
    assert [r.state for r in played] == ["down"] * (len(played) - 1) + ["up"]


# ---- C++


@pytest.fixture(scope="module")
def throwing(installed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("throwing")

    def program(api: Api) -> Path:
        library = installed.library(api)
        made = folder / api.name
        run(
            [
                *("c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", made),
                *(["-DAPI_V4"] if api is V4 else []),
                *(builds.PROGRAMS / "throwing.cc", f"-I{installed.include_dir / api.headers}"),
                *(f"-L{library.parent}", f"-l:{library.name}", f"-Wl,-rpath,{library.parent}"),
            ]
        )
        return made

    return program


@each_api
def test_an_exception_of_on_interrupt_leaves_the_library_in_order(throwing, tmp_path, api):
    assert run([throwing(api), tmp_path / "socket", "interrupt"]).stdout == "done\n"


@each_api
def test_an_exception_of_another_callback_ends_the_program_at_the_throw(throwing, tmp_path, api):
    command = [throwing(api), tmp_path / "socket", "connect"]
    result = run(command, status=-signal.SIGABRT, preexec_fn=no_core)
    assert "std::runtime_error" in result.stderr


def no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
