# SPDX-License-Identifier: Apache-2.0
"""Dist step: removes from a source distribution what builds do not need.

It lists what it removes, not what it keeps: a new file that nobody lists is kept.
"""

import os
import shutil
from pathlib import Path

OF_THE_CHECKOUT = (
    ".ci",
    ".clang-format",
    ".containerignore",
    ".gitignore",
    "CONTRIBUTING.md",
    "Containerfile",
    "abi",
    "bench",
    "bootstrap",
    "c_tests",
    "conftest.py",
    "debian",
    "devtools",
    "fuzz",
    "proofs",
    "tests",
)

for name in OF_THE_CHECKOUT:
    path = Path(os.environ["MESON_DIST_ROOT"], name)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
