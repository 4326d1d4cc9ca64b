# SPDX-License-Identifier: Apache-2.0
"""The library in processes of every kind: what it takes from them, and what it leaves as it was."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from support import builds
from support.builds import BASE_PYTHON, PYTHON, V1, V4, Api, Installed, each_api, run
from support.programs import Program

from libmemif_py import Interface

NOBODY = 65534
SUCCESS, SYSCALL = 0, 1
PROC_FILE_LIMIT = {V1: 5, V4: 6}
NOMEM = {V1: 9, V4: 10}
INVAL_ARG_4 = 11
STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
COMPLAINT = "libmemif: cannot start the control plane: "


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    return builds.release(tmp_path_factory)


@pytest.fixture(scope="module")
def host(installed, tmp_path_factory):
    """Compiles a program of tests/programs once."""
    folder = tmp_path_factory.mktemp("hosts")

    def compiled(name: str, *sources: str, api: Api = V1, flags: tuple[str, ...] = ()) -> Path:
        program = folder / api.name / name
        program.parent.mkdir(exist_ok=True)
        if not program.exists():
            installed.compile(program, [*(sources or [f"{name}.c"]), api.exchange], *flags, api=api)
        return program

    return compiled


@pytest.fixture
def broken(installed, tmp_path) -> Installed:
    """A copy that the test may damage."""
    return installed.copy(tmp_path / "broken")


def silently(command: list[Path | str], **options) -> None:
    """Run; the program must succeed and print nothing."""
    result = run(command, **options)
    assert result.stdout + result.stderr == ""


# ---- the environment


@each_api
def test_an_empty_environment_is_enough(host, tmp_path, api):
    silently([host("plain", api=api), tmp_path / "socket"], env={})


class Trap:
    """A folder full of modules and programs, each of which leaves a mark when it is executed."""

    MODULES = (
        *("struct", "os", "sys", "site", "sitecustomize", "usercustomize", "encodings", "codecs"),
        *("io", "abc", "time", "select", "fcntl", "_socket", "_thread", "zipimport", "traceback"),
        *("_cffi_backend", "_libmemif1", "_libmemif4"),
        "atexit",
    )

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.marks = folder / "marks"
        self.bin = folder / "bin"
        self.home = folder / "home"
        self.library = self.home / "lib" / "python{}.{}".format(*sys.version_info)
        user_site = Path(".local", *self.library.parts[-2:], "site-packages")
        for place in (folder, self.library, self.library / "site-packages", folder / user_site):
            self._fill(place)
        self._programs()
        self._settings()

    def _fill(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for name in self.MODULES:
            (place / f"{name}.py").write_text(self._marking(name))
        for name in ("libmemif_py", "encodings"):
            (place / name).mkdir(exist_ok=True)
            (place / name / "__init__.py").write_text(self._marking(f"{name}-package"))
        (place / "trap.pth").write_text(self._marking("pth"))

    def _marking(self, name: str) -> str:
        """Works as early as Python runs any module: before there are encodings and `open`."""
        path, line = bytes(self.marks), f"{name}\n".encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return f"import posix; posix.write(posix.open({path!r}, {flags}, 0o600), {line!r})\n"

    def _programs(self) -> None:
        self.bin.mkdir()
        for name in ("python3", "python", "python{}.{}".format(*sys.version_info)):
            program = self.bin / name
            program.write_text(f"#!/bin/sh\necho {name} >>{self.marks}\n")
            program.chmod(0o755)

    def _settings(self) -> None:
        for place in (self.folder, self.bin):
            (place / "pyvenv.cfg").write_text(f"home = {self.bin}\n")
            (place / "pybuilddir.txt").write_text(str(self.library))

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PYTHONPATH": str(self.folder),
            "PYTHONHOME": str(self.home),
            "PYTHONSTARTUP": str(self.folder / "struct.py"),
            "PYTHONUSERBASE": str(self.folder / ".local"),
            "PYTHONEXECUTABLE": str(self.bin / "python3"),
            "PYTHONPLATLIBDIR": "lib64",
            "PYTHONIOENCODING": "no-such-encoding",
            "PYTHONMALLOC": "no-such-allocator",
            "PYTHONINSPECT": "1",
            "PYTHONVERBOSE": "1",
            "PYTHONDEVMODE": "1",
            "PYTHONWARNINGS": "error",
            "LC_ALL": "tr_TR.ISO-8859-9",
            "LANG": "no-such-locale",
        }

    def sprung(self) -> list[str]:
        return self.marks.read_text().split() if self.marks.exists() else []


@each_api
def test_nothing_of_a_hostile_environment_is_executed(host, tmp_path, api):
    trap = Trap(tmp_path)
    program = shutil.copy(host("plain", api=api), trap.bin)
    silently([program, tmp_path / "socket"], env=trap.environment(), cwd=tmp_path)
    assert trap.sprung() == []


def test_the_hostile_environment_is_one(tmp_path):
    trap = Trap(tmp_path)
    chosen = {"PYTHONPATH": str(tmp_path), "PATH": trap.environment()["PATH"]}
    run([BASE_PYTHON, "-c", "pass"], env=chosen, status=None)
    run(["python3"], env=chosen, executable=shutil.which("python3", path=chosen["PATH"]))
    sprung = trap.sprung()
    assert "encodings-package" in sprung
    assert "python3" in sprung


class Privileged:
    """programs/privileged.c where every user can run it, with a hostile environment."""

    def __init__(self, installed: Installed, folder: Path, tmp_path: Path, api: Api):
        self.socket = folder / "socket"
        self.trap = Trap(folder / "trap")
        self._errors = tmp_path / "errors"
        copy = installed.copy(folder / "prefix")
        self._program = copy.compile(folder / "privileged", ["privileged.c", api.exchange], api=api)

    def run(self, role: str, raised: bool, **hostile: str) -> Program:
        """As nobody; `raised`: with root's privileges all the same."""
        self._program.chmod(0o4755 if raised else 0o755)
        command = [self._program, str(int(raised)), role, self.socket]
        environment = {**self.trap.environment(), **hostile, "LIBMEMIF_DEBUG": "1"}
        return Program(command, self._errors, environment, user=NOBODY if raised else None)


@pytest.fixture
def privileged(installed, tmp_path):
    """Makes a Privileged, which takes root: a file of root's that others may run as root."""
    folder = Path(tempfile.mkdtemp(prefix="memif-privileged-"))
    folder.chmod(0o755)
    yield lambda api: Privileged(installed, folder, tmp_path, api)
    shutil.rmtree(folder)


@each_api
@pytest.mark.parametrize("raised", [True, False], ids=["raised", "not raised"])
def test_a_host_with_raised_privileges_is_not_told_how_to_connect(privileged, raised, api):
    """Without them the same environment says which version, and turns debug lines on."""
    host = privileged(api)
    with (
        Interface(host.socket, role="master", id=1) as master,
        host.run("slave", raised, LIBMEMIF_PROTOCOL="256") as slave,
    ):
        assert slave.line() == "ready"
        master.wait_connected(60)
        assert master.peer.uid == 0
        assert master.details().version == (512 if raised else 256)
        slave.end_input()
        assert slave.wait() == 0
        assert (slave.errors == "") == raised
    assert host.trap.sprung() == []


@each_api
@pytest.mark.parametrize("raised", [True, False], ids=["raised", "not raised"])
def test_a_host_with_raised_privileges_is_not_told_whom_to_trust(privileged, tmp_path, raised, api):
    """Without them the same environment refuses this peer's memory."""
    host = privileged(api)
    with host.run("master", raised, LIBMEMIF_UNSEALED="never") as master:
        assert master.line() == "ready"
        command = [sys.executable, builds.SUPPORT / "other_user.py", "0", "slave"]
        with Program([*command, host.socket, "unsealable"], tmp_path / "peer") as slave:
            assert (slave.line() == "connected") == raised
        master.end_input()
        assert master.wait() == 0
        assert (master.errors == "") == raised
    assert host.trap.sprung() == []


def test_the_environment_is_read_in_no_other_way(installed):
    """Neither in C by what a program with raised privileges must not use, nor in Python."""
    c_files = [*builds.ROOT.glob("libmemif_py/native/**/*.[ch]")]
    reading = re.compile(r"(?<!secure_)\bgetenv\b|\benviron\b")
    assert len(c_files) > 20
    assert [file.name for file in c_files if reading.search(file.read_text())] == []
    modules = [*builds.ROOT.glob("libmemif_py/**/*.py")]
    assert len(modules) > 10
    assert [m.name for m in modules if re.search(r"\benviron\b|getenv", m.read_text())] == []


# ---- what it leaves behind


def everything_in(folder: Path) -> dict[str, tuple]:
    """Every file with what changes when it is touched, and what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        found[str(path)] = (about.st_mode, about.st_mtime_ns, about.st_ctime_ns, about.st_size)
    return found


@each_api
def test_a_host_leaves_nothing_behind_in_any_folder(installed, tmp_path, api):
    """Not in the installation, in folders that programs use, nor beside its socket."""
    copy = installed.copy(tmp_path / "prefix")
    for cache in copy.tree.rglob("__pycache__"):
        shutil.rmtree(cache)  # what is missing could be written
    program = copy.compile(tmp_path / "plain", ["plain.c", api.exchange], api=api)
    variables = ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    variables += ("XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "RUNTIME_DIRECTORY")
    folders = {name: tmp_path / name for name in variables}
    for folder in (*folders.values(), tmp_path / "work", tmp_path / "sockets"):
        folder.mkdir()
    before = everything_in(tmp_path)
    environment = {name: str(folder) for name, folder in folders.items()}
    silently([program, tmp_path / "sockets" / "socket"], env=environment, cwd=tmp_path / "work")
    after = everything_in(tmp_path)
    sockets = str(tmp_path / "sockets")  # the folder itself: a file came and went
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {sockets}


@each_api
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_belongs_to_the_host_is_as_it_was(host, tmp_path, locale, api):
    variables = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    silently([host("unchanged", api=api), tmp_path / "socket", locale], env=variables)


# ---- ways to load and to call


@pytest.fixture(scope="module")
def plugin(host):
    """Compiles programs/plugin.c."""
    return lambda api: host("plugin.so", "plugin.c", api=api, flags=("-shared", "-fPIC"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Compiles a program that is linked with neither library."""
    folder = tmp_path_factory.mktemp("bare")
    return lambda name: builds.compile_program(folder / name, [f"{name}.c"])


@each_api
def test_a_plugin_host_with_local_names_can_load_it_twice(bare, plugin, tmp_path, api):
    silently([bare("plugin_loader"), plugin(api), tmp_path / "socket"], env={})


def test_both_libraries_may_start_at_the_same_moment_in_one_process(bare, plugin, tmp_path):
    plugins = {api: plugin(api) for api in (V1, V4)}
    program = bare("two_plugins")
    for i in range(100):
        sockets = [tmp_path / f"socket{i}-{api}" for api in plugins]
        pairs = zip(plugins.values(), sockets, strict=True)
        silently([program, *(word for pair in pairs for word in pair)], env={})


@each_api
def test_a_host_without_standard_streams(host, tmp_path, api):
    silently([host("plain", api=api), tmp_path / "socket", "closed"], env={})


@each_api
def test_of_two_first_calls_at_the_same_moment_one_wins(host, tmp_path, api):
    program = host("threads", api=api)
    for i in range(50):
        silently([program, tmp_path / f"socket{i}", "race"], env={})


@each_api
def test_a_thread_with_a_small_stack_may_make_the_first_call(host, tmp_path, api):
    silently([host("threads", api=api), tmp_path / "socket", "small"], env={})


# ---- signals


@each_api
def test_signals_stay_the_hosts_and_disturb_nothing(host, tmp_path, api):
    silently([host("signals", api=api), tmp_path / "socket", "own"], env={})


@each_api
def test_sigint_ends_a_host_that_does_not_handle_it(host, tmp_path, api):
    # A shell that runs the tests in the background has SIGINT ignored, which is inherited.
    command = ["env", "--default-signal=INT"]
    command += [host("signals", api=api), tmp_path / "socket", "wait"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.defpath}
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == -signal.SIGINT
            assert process.stderr.read() == b""
        finally:
            process.kill()


# ---- hosts that are Python


@each_api
@pytest.mark.parametrize("python", [PYTHON, BASE_PYTHON], ids=["venv", "base"])
@pytest.mark.parametrize("how", ["plain", "package-first", "capsule-first", "leave-open"])
def test_a_python_host_shares_its_interpreter(installed, tmp_path, python, how, api):
    program = [python, builds.PROGRAMS / "ctypes_program.py", installed.library(api), api.name]
    variables = {"PYTHONPATH": str(installed.package.parent)}
    silently([*program, tmp_path / "socket", how], env=variables)


@each_api
def test_a_host_that_ends_its_python_gets_errors(host, tmp_path, api):
    """Its embedded interpreter is there before the library comes, and goes before it."""
    config = sysconfig.get_config_var
    folders = [f"-L{config('LIBDIR')}", f"-Wl,-rpath,{config('LIBDIR')}"]
    flags = (f"-I{sysconfig.get_path('include')}", *folders, f"-lpython{config('LDVERSION')}")
    program = host("embedder", api=api, flags=flags)
    silently([program, tmp_path / "socket"], env={})


@each_api
def test_an_extension_may_call_with_the_gil_held(host, tmp_path, api):
    include = f"-I{sysconfig.get_path('include')}"
    flags = ("-shared", "-fPIC", include)
    module = host("extension.so", "extension.c", api=api, flags=flags)
    path = repr(str(tmp_path / "socket"))
    calls = f"e.begin({path}), e.exchange({path}), e.end(), e.begin({path})"
    command = [BASE_PYTHON, "-c", f"import extension as e; print({calls})"]
    result = run(command, env={"PYTHONPATH": str(module.parent)})
    assert (result.stdout, result.stderr) == ("0 0 0 0\n", "")


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


@each_api
def test_a_host_of_another_python_version_gets_an_error(host, tmp_path, api):
    sources = ("codes.c", "other_version.c")
    program = host("other_version", *sources, api=api, flags=("-rdynamic",))
    assert_refused(*codes(program, tmp_path / "socket", env={}), "3.99.0")


def other_pythons() -> list[Path]:
    """Interpreters of this machine, of other minor versions than ours."""
    places = [Path("/usr/bin"), Path("/usr/local/bin"), *Path.home().glob(".pyenv/versions/*/bin")]
    found = {path.resolve() for place in places for path in place.glob("python3.*")}
    name = re.compile(r"python3\.(\d+)")
    minors = {path: name.fullmatch(path.name) for path in found}
    return sorted(
        p for p, match in minors.items() if match and int(match[1]) != sys.version_info[1]
    )


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


@each_api
def test_other_pythons_of_this_machine_are_not_aborted(installed, api):
    """There may be none; the test before this one does without."""
    for python in other_pythons():
        result = run([python, "-c", TWO_CALLS, installed.library(api)], status=None, env={})
        refused = result.stdout == "1 1\n" and result.stderr.startswith(COMPLAINT)
        unloadable = result.returncode == 1 and result.stderr.startswith("not loaded: ")
        assert refused or unloadable, (python, result)
        assert result.stderr.count("\n") == 1, (python, result)


# ---- incomplete installations


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
    (compiled,) = (installed.package / "__pycache__").glob("hub.*.pyc")
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
    "late error": (replace_module("control/native", "class Native: pass"), "TypeError: "),
    "bytecode": (cut_bytecode, "EOFError: "),
    "no backend": (remove_backend, "No module named '_cffi_backend'"),
    "spoilt backend": (spoilt_backend, "_cffi_backend"),
    "foreign backend": (foreign_backend, "_cffi_backend"),
}


def compile_codes(installed: Installed, folder: Path, api: Api) -> Path:
    return installed.compile(folder / "codes", ["codes.c", api.exchange], api=api)


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
def test_a_python_host_survives_an_incomplete_installation(broken, api):
    remove_module(f"capi/{api.name}")(broken)
    result = run([BASE_PYTHON, "-c", TWO_CALLS, broken.library(api)], env={})
    assert result.stdout == "1 1\n"
    assert result.stderr.startswith(COMPLAINT)
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module", params=[V1, V4], ids=str)
def with_other_stdlib(request, host, tmp_path_factory):
    """Runs programs/codes.c as if the standard library were elsewhere."""
    preloaded = tmp_path_factory.mktemp("preloaded") / "other_stdlib.so"
    builds.compile_program(preloaded, ["other_stdlib.c"], "-shared", "-fPIC")
    program = host("codes", api=request.param)

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


# ---- errors inside the control plane

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
    inject(broken, "control", "RuntimeError('inside')")
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
