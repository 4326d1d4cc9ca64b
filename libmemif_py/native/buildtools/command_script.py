# SPDX-License-Identifier: Apache-2.0
"""Build step: a script that meson installs, such as `memif`. Those of a wheel are pip's.

Usage: command_script.py INTERPRETER FOLDER NAME MODULE. Prints the script. FOLDER is where the
package lies, relative to the folder of the script: so the whole prefix can be moved. MODULE has a
function `main`.
"""

import shlex
import sys

SCRIPT = '''\
# SPDX-License-Identifier: Apache-2.0
"""The command `{name}`."""

import os
import sys

_HERE = os.path.dirname(os.path.realpath(__file__))
_PACKAGES = os.path.realpath(os.path.join(_HERE, {folder!r}))
# The interpreter searches the folder by itself, unless the package has a prefix of its own.
if _PACKAGES not in map(os.path.realpath, sys.path):
    sys.path.insert(1, _PACKAGES)

from {module} import main  # noqa: E402 - found only now

if __name__ == "__main__":
    sys.exit(main())
'''
# The kernel's limit for a first line, in its versions that have the least.
LONGEST_LINE = 127


def first_lines(interpreter: str) -> str:
    """What makes the kernel start the interpreter."""
    line = f"#!{interpreter}\n"
    if " " not in interpreter and len(line) <= LONGEST_LINE:
        return line
    # The shell starts the interpreter, for which this is a string.
    return f"#!/bin/sh\n'''exec' {shlex.quote(interpreter)} \"$0\" \"$@\"\n' '''\n"


interpreter, folder, name, module = sys.argv[1:]
script = SCRIPT.format(folder=folder, name=name, module=module)
sys.stdout.write(first_lines(interpreter) + script)
