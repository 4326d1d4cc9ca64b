# SPDX-License-Identifier: Apache-2.0
"""What README tells a newcomer to do, word for word, on a Debian that has nothing yet.

Each script begins on a bare machine, so that nothing works only because of what was there before.
"""

from support.builds import APIS, ROOT, declared_version
from support.pages import blocks_of

ALL = blocks_of(ROOT / "README.md")
MISSING = "gcc cc make pkg-config python3 pip meson git man memif"
# A fresh Debian has no lists of packages yet, and a bare one no manual.
LISTS = "sudo apt-get update\n"
MANUAL = "sudo apt-get install man-db\n"
COMPILER = "sudo apt-get install gcc libc6-dev pkg-config\n"
PAGES = "man -w memif memif-ping memif_create\n"
VERSION = f"libmemif-py {declared_version()}\n"
RECEIVED = "b'hello, memif'\n"


def commands(text: str) -> str:
    """The one block of commands of README that has this text."""
    (code,) = (block.code for block in ALL if block.language == "sh" and text in block.code)
    return code


def first_program(flags: str, python: str) -> str:
    """A script that runs the first programs of README."""
    c, receiver = (next(b.code for b in ALL if b.language == name) for name in ("c", "python"))
    return f"""
mkdir ~/first && cd ~/first
cat >hello.c <<'END'
{c}
END
cat >hello.py <<'END'
{receiver}
END
cc hello.c $({flags}) -o hello
./hello &
{python} hello.py
wait $!
"""


def each_api() -> str:
    """A script that builds a program with each API, which sends to itself."""
    return "".join(
        f"cc tests/programs/plain.c tests/programs/{api.exchange}"
        f" $(pkg-config --cflags --libs {api.package}) -o ~/{api}\n~/{api} /tmp/{api}.sock\n"
        for api in APIS
    )


class Newcomer:
    """On the Debian that a subclass names. The fixtures are in tests/fresh."""

    suite: str

    def test_a_bare_machine_has_none_of_what_is_needed(self, machine):
        said = machine.run(f"for name in {MISSING}; do ! command -v $name || exit 1; done")
        assert "/bin/" not in said

    def test_the_demo_runs(self, machine):
        assert "5 packets transmitted, 5 received" in machine.run("./bootstrap demo")

    def test_the_documentation_is_made(self, machine):
        machine.run("./bootstrap docs")
        pages = machine.checkout() / "build-docs"
        assert "libmemif-py" in (pages / "index.html").read_text()
        assert "memif bridge" in (pages / "reference" / "command.html").read_text()

    def test_pip_installs_the_package_and_the_command(self, machine):
        python = "~/memif/bin/python"
        said = machine.run(
            LISTS
            + commands("pip install '.[tools]'")
            + first_program(f"{python} -m libmemif_py --cflags --libs", python)
        )
        assert VERSION in said
        assert RECEIVED in said

    def test_meson_installs_into_the_system(self, machine):
        said = machine.run(
            LISTS
            + commands("meson setup build-usr")
            + "deactivate\n"
            + each_api()
            + MANUAL
            + PAGES
            + first_program("pkg-config --cflags --libs libmemif", "python3"),
        )
        assert RECEIVED in said

    def test_the_debian_packages_are_made(self, packages):
        assert len(list(packages.glob("*.deb"))) >= 4

    def test_the_debian_packages_are_all_that_is_needed(self, machine, packages):
        install = commands("./dist/*.deb").splitlines()[-1]
        said = machine.run(
            f"{LISTS}mkdir dist && cp {packages}/*.deb dist\n{install}\n"
            + "memif --version\n"
            + COMPILER
            + each_api()
            + MANUAL
            + PAGES
            + first_program("pkg-config --cflags --libs libmemif", "python3"),
            packages,
        )
        assert VERSION in said
        assert RECEIVED in said
