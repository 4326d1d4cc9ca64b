# SPDX-License-Identifier: Apache-2.0
"""How to install the packages that only some users need."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig


def install_command(*packages: str) -> str:
    """What installs these packages where this interpreter looks for them."""
    # pip refuses to install into a Python that is Debian's own.
    is_venv = sys.prefix != sys.base_prefix
    managed = os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))
    if managed and not is_venv and shutil.which("apt-get"):
        return "apt-get install " + " ".join(f"python3-{name}" for name in packages)
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])
