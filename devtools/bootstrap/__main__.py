# SPDX-License-Identifier: Apache-2.0
"""The commands of ./bootstrap, which calls this once there are packages and a Python:

python -I devtools/bootstrap COMMAND [ARGUMENTS]
"""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from console import ROOT, as_root, become, fail, quietly, say

VENV_PYTHON = ROOT / ".venv" / "bin" / "python"


def demo() -> None:
    """Build what the example needs, and run it."""
    _install("demo", "examples")
    become([VENV_PYTHON, "examples/demo.py"])


def two_hosts(*arguments: str) -> None:
    """Build, and run the example in two network namespaces, which are root's to make."""
    _install("demo", "examples")
    become(as_root([VENV_PYTHON, "examples/two-hosts/two_hosts.py", *arguments]))


def test(*arguments: str) -> None:
    """Run all sections, or pytest with these arguments once everything is built."""
    import environment
    import testing

    environment.prepare("test")
    if not arguments:
        sys.exit(testing.run_all())
    testing.prepare_for_pytest()
    become(["pytest", *arguments])


def prove(*arguments: str) -> None:
    """Check the claims of proofs/."""
    import proving

    proving.prove(*arguments)


def mutate(*arguments: str) -> None:
    """Change the sources in one place at a time, and tell which changes no test notices."""
    import environment

    if arguments[:1] == ("--control",):
        import building

        environment.prepare("mutate --control")
        building.must_install("examples", "tests")
        become([VENV_PYTHON, "devtools/mutation/control.py", *arguments[1:]])
    environment.prepare("mutate")
    become([VENV_PYTHON, "devtools/mutation/data_path/mutate.py", *arguments])


def coverage(*arguments: str) -> None:
    """Tell which branches the tests take."""
    import covering

    covering.coverage(*arguments)


def coverage_in_copy(*arguments: str) -> None:
    """Do it, in the copy of the sources that is measured."""
    import covering

    covering.coverage_in_copy(*arguments)


def fuzz(*arguments: str) -> None:
    """Run the fuzzing targets."""
    import fuzzing

    fuzzing.fuzz(*arguments)


def bench(*arguments: str) -> None:
    """Measure; with --record-instructions for both compilers."""
    import building

    _install("bench", "bench")
    command: list[str | Path] = [VENV_PYTHON, "bench/bench.py", *arguments]
    if "--record-instructions" in arguments:
        building.must_make(building.WITH_CLANG)
        quietly("recording the instructions of gcc", command)
        command += ["--build", building.WITH_CLANG.folder]
    become(command)


def soak(minutes: str = "60") -> None:
    """Have everything run at once for that long."""
    if not minutes.replace(".", "", 1).isdigit():
        fail(f"soak {minutes}: expected a number of minutes")
    # What the tests import is what the soak does.
    _install("test", "examples", "tests", "bench")
    options = ("-s", "-o", "faulthandler_timeout=0", f"--soak-minutes={minutes}")
    become(["pytest", *options, "tests/hostile/soak.py"])


def docs() -> None:
    """Make the documentation."""
    _install("docs")
    # Sphinx keeps what it read of each page; pages made from other files must be read again.
    command = ["sphinx-build", "-E", "-W", "--keep-going", "-b", "html", "docs", "build-docs"]
    quietly("writing build-docs", command)
    say("the first page is build-docs/index.html")


def deb() -> None:
    """Make packages in a copy of the sources: Debian's tools write beside and into them."""
    import environment
    from sources import copy_sources

    environment.prepare("demo")
    if not os.path.samefile(sys.executable, "/usr/bin/python3"):
        fail(
            f"the packages are for Debian's Python, which is /usr/bin/python3, not {sys.executable}"
        )
    made, copy, kept = Path("build-deb"), Path("build-deb", "libmemif-py"), Path("dist")
    shutil.rmtree(made, ignore_errors=True)
    copy_sources(copy)
    quietly("building the Debian packages", ["dpkg-buildpackage", "-us", "-uc", "-b"], copy)
    # What lintian says of root is no fault of the packages.
    checks = ["lintian", "--allow-root", "--fail-on", "error,warning"]
    quietly("checking the Debian packages", [*checks, *made.glob("*.changes")])
    kept.mkdir(exist_ok=True)
    for pattern in ("*.deb", "*.buildinfo", "*.changes"):
        for file in made.glob(pattern):
            shutil.move(file, kept / file.name)
    print(*sorted(kept.glob("*.deb")), sep="\n")


def wheels(*versions: str) -> None:
    """Make wheels for these versions of Python, or for all that are here."""
    import environment
    import wheels

    environment.prepare("wheels")
    print(*wheels.make_wheels(*versions), sep="\n")


def abi() -> None:
    """Record the binary interfaces of a release build."""
    import building
    import environment

    environment.prepare("demo")
    building.must_make(building.ABI)
    become([VENV_PYTHON, "devtools/abi_record.py", building.ABI.folder])


def in_suite(suite: str, *command: str) -> None:
    """Run a command in a bare Debian."""
    from suite import run_in_suite

    run_in_suite(suite, *command)


def _install(purpose: str, *parts: str) -> None:
    import building
    import environment

    environment.prepare(purpose)
    building.must_install(*parts)


COMMANDS: dict[str, Callable[..., object]] = {
    "demo": demo,
    "two-hosts": two_hosts,
    "test": test,
    "prove": prove,
    "mutate": mutate,
    "coverage": coverage,
    "coverage-in-copy": coverage_in_copy,
    "fuzz": fuzz,
    "bench": bench,
    "soak": soak,
    "docs": docs,
    "deb": deb,
    "wheels": wheels,
    "abi": abi,
    "in-suite": in_suite,
}


def main() -> None:
    """Run one command."""
    os.chdir(ROOT)
    name, *arguments = sys.argv[1:]
    command = COMMANDS[name]
    try:
        inspect.signature(command).bind(*arguments)
    except TypeError:
        fail(f"{name} {' '.join(arguments)}: more arguments than {name} takes")
    command(*arguments)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
