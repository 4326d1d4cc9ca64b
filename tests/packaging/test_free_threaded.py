# SPDX-License-Identifier: Apache-2.0
"""The code for a Python without the interpreter lock, which no Debian has: that it compiles.

The headers of every Python from 3.13 on have both kinds, and Py_GIL_DISABLED chooses.
"""

import re

import pytest
from support import builds
from support.builds import ROOT, run

NATIVE = ROOT / "libmemif_py" / "native"
SOURCES = sorted((NATIVE / "python").glob("*.c"))
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-cast-function-type", "-Werror"]
INCLUDES = [f"-I{folder}" for folder in (NATIVE, ROOT / "include" / "libmemif1", ROOT / "include")]
ASK = "import sysconfig as s; print(s.get_path('include'), s.get_path('platinclude'), sep='\\n')"


@pytest.fixture(scope="module")
def headers() -> list[str]:
    version, python = list(builds.pythons().items())[-1]
    if int(version.removeprefix("3.")) < 13:
        pytest.skip("this machine has no Python 3.13 or later, with headers")
    return [f"-I{folder}" for folder in run([python, "-I", "-c", ASK]).stdout.splitlines()]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_it_compiles_without_a_warning(source, headers):
    without = ["-DPy_GIL_DISABLED", "-fsyntax-only"]
    run(["gcc", *FLAGS, *without, *INCLUDES, *headers, source], env=builds.environment(LC_ALL="C"))


def test_there_is_such_code():
    texts = {source.name: source.read_text() for source in SOURCES}
    assert {name for name, text in texts.items() if re.search("Py_GIL_DISABLED", text)} >= {
        "burst_module.c",
        "queue_lock.c",
    }
