# SPDX-License-Identifier: Apache-2.0
"""The builds for aarch64, on Debian for x86-64: cross-compiled with gcc and with clang, against
Debian's libraries for arm64, in a folder. qemu-user runs what is built."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import building
import interpreters
from console import ROOT, succeeds

LIBRARIES = Path("build-aarch64-root")
PACKAGES = (
    *("check", "libc6-dev", "libstdc++6"),
    # An interpreter with the runtime of cffi, for the libraries to embed.
    *("libpython3-dev", "python3", "python3-cffi-backend"),
)


def why_not() -> str | None:
    """Return why there are no such builds on this machine, or None if there are."""
    if platform.machine() != "x86_64":
        return f"cross-compiled on x86-64 only, not on {platform.machine()}"
    if _debian() is None:
        return "cross-compiled on Debian only, against its libraries for arm64"
    if not os.path.samefile(interpreters.RUNNING, "/usr/bin/python3"):
        return f"Debian has no {interpreters.RUNNING} for arm64, only its own Python"
    return None


def make() -> list[str]:
    """Build both; return what failed."""
    if why_not() is not None:
        return []
    if not _unpack_libraries():
        return [LIBRARIES.name]
    builds = (building.AARCH64, building.AARCH64_WITH_CLANG)
    return [build.folder.name for build in builds if not building.make(build)]


def _unpack_libraries() -> bool:
    """Return whether they are there. With those of another Debian the builds start anew."""
    wanted = " ".join([_debian() or "", *PACKAGES])
    mark = LIBRARIES / ".made-for"
    if mark.exists() and mark.read_text() == wanted:
        return True
    script = ROOT / "devtools" / "arm64_root.sh"
    if not succeeds("unpacking libraries for arm64", [script, ROOT / LIBRARIES, *PACKAGES]):
        return False
    for build in (building.AARCH64, building.AARCH64_WITH_CLANG):
        building.forget(build)
    mark.write_text(wanted)
    return True


def _debian() -> str | None:
    """Return the code name of this Debian, if it is one."""
    release = platform.freedesktop_os_release()
    return release.get("VERSION_CODENAME", "sid") if release.get("ID") == "debian" else None
