# SPDX-License-Identifier: Apache-2.0
"""In a subinterpreter the package cannot be imported, and says so. The main one is not affected."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    other = interpreters.create({kind!r})
else:
    import _xxsubinterpreters as interpreters
    other = interpreters.create(isolated={isolated})
failed = interpreters.run_string(other, '''
import libmemif_py.errors
try:
    from libmemif_py import Interface
except ImportError as error:
    print(error, flush=True)
''')
assert failed is None, failed
interpreters.destroy(other)
from libmemif_py import Interface
with Interface("@from-the-main-interpreter"):
    print("connects", flush=True)
"""


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_subinterpreter_is_refused(kind):
    program = PROGRAM.format(kind=kind, isolated=kind == "isolated")
    result = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    refused, works = result.stdout.splitlines()
    # Where Python refuses an isolated one by itself, the words are Python's.
    assert refused in (
        "libmemif_py cannot be used in a subinterpreter, only in the main interpreter",
        "module libmemif_py._burst does not support loading in subinterpreters",
    )
    assert works == "connects"
