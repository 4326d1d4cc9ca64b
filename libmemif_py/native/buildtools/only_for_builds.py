# SPDX-License-Identifier: Apache-2.0
"""Dist step: takes from a source distribution what no build of it needs.

What is taken away is listed, and not what stays, so that nothing new is lost by being forgotten.
"""

import os
import shutil
from pathlib import Path

OF_THE_CHECKOUT = (
    ".ci",
    ".clang-format",
    ".gitignore",
    "CONTRIBUTING.md",
    "abi",
    "bench",
    "bootstrap",
    "c_tests",
    "conftest.py",
    "debian",
    "devtools",
    "fuzz",
    "tests",
)

for name in OF_THE_CHECKOUT:
    path = Path(os.environ["MESON_DIST_ROOT"], name)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
