# SPDX-License-Identifier: Apache-2.0
"""The library in processes of every kind: what it takes from them, and what it leaves as it was."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import builds
import pytest
from builds import BASE_PYTHON, PYTHON, Installed, run

SUCCESS, SYSCALL, PROC_FILE_LIMIT, NOMEM = 0, 1, 5, 9
STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
COMPLAINT = "libmemif: cannot start the control plane: "


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    return builds.release(tmp_path_factory)


@pytest.fixture(scope="module")
def host(installed, tmp_path_factory):
    """Compiles a program of tests/hosts once."""
    folder = tmp_path_factory.mktemp("hosts")

    def compiled(name: str, *sources: str, flags: tuple[str, ...] = ()) -> Path:
        program = folder / name
        if not program.exists():
            installed.compile(program, sources or (f"{name}.c", "exchange.c"), *flags)
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


def test_an_empty_environment_is_enough(host, tmp_path):
    silently([host("plain"), tmp_path / "socket"], env={})


class Trap:
    """A folder full of modules and programs, each of which leaves a mark when it is executed."""

    MODULES = (
        *("struct", "os", "sys", "site", "sitecustomize", "usercustomize", "encodings", "codecs"),
        *("io", "abc", "time", "select", "fcntl", "_socket", "_thread", "zipimport", "traceback"),
        *("_cffi_backend", "_libmemif1", "atexit"),
    )

    def __init__(self, folder: Path):
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


def test_nothing_of_a_hostile_environment_is_executed(host, tmp_path):
    trap = Trap(tmp_path)
    program = shutil.copy(host("plain"), trap.bin)
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


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_belongs_to_the_host_is_as_it_was(host, tmp_path, locale):
    variables = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    silently([host("unchanged"), tmp_path / "socket", locale], env=variables)


# ---- ways to load and to call


def test_a_plugin_host_with_local_names_can_load_it_twice(host, tmp_path):
    plugin = host("plugin.so", "plugin.c", "exchange.c", flags=("-shared", "-fPIC"))
    silently([host("plugin_host", "plugin_host.c"), plugin, tmp_path / "socket"], env={})


def test_a_host_without_standard_streams(host, tmp_path):
    silently([host("plain"), tmp_path / "socket", "closed"], env={})


def test_of_two_first_calls_at_the_same_moment_one_wins(host, tmp_path):
    program = host("threads")
    for i in range(50):
        silently([program, tmp_path / f"socket{i}", "race"], env={})


def test_a_thread_with_a_small_stack_may_make_the_first_call(host, tmp_path):
    silently([host("threads"), tmp_path / "socket", "small"], env={})


# ---- signals


def test_signals_stay_the_hosts_and_disturb_nothing(host, tmp_path):
    silently([host("signals"), tmp_path / "socket", "own"], env={})


def test_sigint_ends_a_host_that_does_not_handle_it(host, tmp_path):
    command = [host("signals"), tmp_path / "socket", "wait"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == -signal.SIGINT
            assert process.stderr.read() == b""
        finally:
            process.kill()


# ---- hosts that are Python


@pytest.mark.parametrize("python", [PYTHON, BASE_PYTHON], ids=["venv", "base"])
@pytest.mark.parametrize("how", ["plain", "package-first", "capsule-first", "leave-open"])
def test_a_python_host_shares_its_interpreter(installed, tmp_path, python, how):
    program = [python, builds.HOSTS / "python_host.py", installed.library, tmp_path / "socket", how]
    silently(program, env={"PYTHONPATH": str(installed.package.parent)})


def test_a_host_that_ends_its_python_gets_errors(host, tmp_path):
    """Its embedded interpreter is there before the library comes, and goes before it."""
    config = sysconfig.get_config_var
    folders = [f"-L{config('LIBDIR')}", f"-Wl,-rpath,{config('LIBDIR')}"]
    flags = (f"-I{sysconfig.get_path('include')}", *folders, f"-lpython{config('LDVERSION')}")
    program = host("embedder", "embedder.c", "exchange.c", flags=flags)
    silently([program, tmp_path / "socket"], env={})


def test_an_extension_may_call_with_the_gil_held(host, tmp_path):
    include = f"-I{sysconfig.get_path('include')}"
    flags = ("-shared", "-fPIC", include)
    module = host("extension.so", "extension.c", "exchange.c", flags=flags)
    path = str(tmp_path / "socket")
    code = f"import extension as e; print(e.init(), e.exchange({path!r}), e.cleanup(), e.init())"
    result = run([BASE_PYTHON, "-c", code], env={"PYTHONPATH": str(module.parent)})
    assert (result.stdout, result.stderr) == ("0 0 0 0\n", "")


def codes(program: Path | str, *arguments: Path | str, **options) -> tuple[dict[str, int], str]:
    """What the calls of hosts/codes.c returned, and stderr."""
    result = run([program, *arguments], **options)
    lines = [line.split() for line in result.stdout.splitlines()]
    return {call: int(code) for call, code in lines}, result.stderr


def assert_refused(returned: dict[str, int], stderr: str, reason: str) -> None:
    """Every call failed, and stderr has one line that says why."""
    assert returned["init"] == returned["init_again"] == SYSCALL
    assert returned["create"] != SUCCESS
    assert returned["poll"] != SUCCESS
    assert returned["delete"] != SUCCESS
    assert stderr.startswith(COMPLAINT)
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")
    assert reason in stderr


def test_a_host_of_another_python_version_gets_an_error(host, tmp_path):
    sources = ("codes.c", "other_version.c")
    program = host("other_version", *sources, flags=("-rdynamic",))
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
print(library.memif_init(None, b"x"), library.memif_init(None, b"x"))
"""


def test_other_pythons_of_this_machine_are_not_aborted(installed):
    """There may be none; the test before this one does without."""
    for python in other_pythons():
        result = run([python, "-c", TWO_CALLS, installed.library], status=None, env={})
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
    "no module": (remove_module("abi1"), "No module named 'libmemif_py.abi1'"),
    "no inner module": (remove_module("link"), "No module named 'libmemif_py.link'"),
    "syntax": (replace_module("hub", "def broken(:\n"), "SyntaxError: "),
    "empty module": (replace_module("hub", ""), "cannot import name 'Hub'"),
    "null bytes": (replace_module("wire", "\0\0"), "null bytes"),
    "error": (replace_module("hub", "raise RuntimeError('two\\nlines')"), "two lines"),
    "exit": (replace_module("hub", "raise SystemExit(0)"), "SystemExit: 0"),
    "interrupt": (replace_module("hub", "raise KeyboardInterrupt"), "KeyboardInterrupt"),
    "late error": (replace_module("native", "class Native: pass"), "TypeError: "),
    "bytecode": (cut_bytecode, "EOFError: "),
    "no backend": (remove_backend, "No module named '_cffi_backend'"),
    "spoilt backend": (spoilt_backend, "_cffi_backend"),
    "foreign backend": (foreign_backend, "_cffi_backend"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_incomplete_installation_is_one_line_and_errors(broken, tmp_path, damage):
    apply, reason = DAMAGES[damage]
    program = broken.compile(tmp_path / "codes", ["codes.c"])
    apply(broken)
    assert_refused(*codes(program, tmp_path / "socket", env={}), reason)


def test_a_python_host_survives_an_incomplete_installation(broken):
    remove_module("abi1")(broken)
    result = run([BASE_PYTHON, "-c", TWO_CALLS, broken.library], env={})
    assert result.stdout == "1 1\n"
    assert result.stderr.startswith(COMPLAINT)
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def with_other_stdlib(host):
    """Runs hosts/codes.c as if the standard library were elsewhere."""
    flags = ("-shared", "-fPIC")
    preloaded = host("other_stdlib.so", "other_stdlib.c", flags=flags)
    program = host("codes", "codes.c")

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

INJECTIONS = {
    "RuntimeError('two\\nlines')": SYSCALL,
    "RecursionError": SYSCALL,
    "KeyboardInterrupt": SYSCALL,
    "SystemExit(0)": SYSCALL,
    "MemoryError": NOMEM,
    "OSError(24, 'too many files')": PROC_FILE_LIMIT,
    "UnicodeDecodeError('utf-8', b'', 0, 1, 'bad')": SYSCALL,
}


def inject(installed: Installed, function: str, error: str) -> None:
    hub = installed.package / "hub.py"
    hub.write_text(hub.read_text() + INJECTED.format(function=function, error=error))


@pytest.mark.parametrize("error", INJECTIONS)
def test_an_exception_in_a_call_is_an_error_code(broken, tmp_path, error):
    program = broken.compile(tmp_path / "codes", ["codes.c"])
    inject(broken, "add", error)
    returned, stderr = codes(program, tmp_path / "socket", env={})
    assert (returned["init"], returned["create"], stderr) == (SUCCESS, INJECTIONS[error], "")
    assert returned["cleanup"] == SUCCESS


def test_an_exception_in_an_event_is_an_error_code(broken, tmp_path):
    program = broken.compile(tmp_path / "codes", ["codes.c"])
    inject(broken, "control", "RuntimeError('inside')")
    returned, stderr = codes(program, tmp_path / "socket", env={})
    assert (returned["create"], returned["poll"], stderr) == (SUCCESS, SYSCALL, "")
    assert returned["delete"] == SUCCESS


def test_a_failed_cleanup_can_be_followed_by_init(broken, tmp_path):
    program = broken.compile(tmp_path / "twice", ["twice.c", "exchange.c"])
    hub = broken.package / "hub.py"
    once = (
        "\n\n_close = Hub.close\n\n\ndef _raise(self):\n    Hub.close = _close\n    raise OSError\n"
    )
    hub.write_text(hub.read_text() + once + "\n\nHub.close = _raise\n")
    silently([program, tmp_path / "socket"], env={})


def test_with_debug_lines_on_the_traceback_of_an_unforeseen_exception_shows(broken, tmp_path):
    program = broken.compile(tmp_path / "codes", ["codes.c"])
    inject(broken, "add", "RuntimeError('inside')")
    returned, stderr = codes(program, tmp_path / "socket", env={"LIBMEMIF_DEBUG": "1"})
    assert returned["create"] == SYSCALL
    assert "Traceback" in stderr
    assert "RuntimeError: inside" in stderr
