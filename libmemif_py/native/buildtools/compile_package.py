# SPDX-License-Identifier: Apache-2.0
"""Install step: compiles the package to bytecode, which the embedded interpreter never writes.

Usage: compile_package.py FOLDER (as installed; DESTDIR is added here).
"""

import compileall
import os
import py_compile
import sys
from pathlib import Path

installed = Path(sys.argv[1])
destdir = os.environ.get("DESTDIR", "")
staged = Path(destdir) / installed.relative_to("/") if destdir else installed
# Checked by content, not by time: copies and packages often lose the times of files.
mode = py_compile.PycInvalidationMode.CHECKED_HASH
good = compileall.compile_dir(
    str(staged), quiet=1, ddir=str(installed), invalidation_mode=mode, force=True
)
sys.exit(0 if good else 1)
