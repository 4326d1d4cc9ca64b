# SPDX-License-Identifier: Apache-2.0
"""What `meson setup` says where the tools of the build are too old or missing."""

import re

from support.builds import PYTHON, ROOT, environment, run
from support.installations import make_venv, pip

DECLARED = re.search(r"meson_version: '>=([\d.]+)'", (ROOT / "meson.build").read_text())[1]


def test_the_oldest_meson_that_is_accepted_configures(tmp_path):
    python = make_venv(tmp_path / "venv")
    pip(python, "install", f"meson=={DECLARED}.0", "ninja", "cffi>=2.1")
    path = f"{python.parent}:/usr/bin:/bin"
    command = [python.parent / "meson", "setup", "-Dexamples=true", tmp_path / "build", ROOT]
    said = run(command, env=environment(PATH=path)).stdout
    assert f"Version: {DECLARED}.0\n" in said


def test_an_interpreter_without_cffi_is_refused_with_the_commands_that_help(tmp_path):
    bare = make_venv(tmp_path / "venv", "--without-pip")
    command = [PYTHON, "-m", "mesonbuild.mesonmain", "setup", f"-Dpython={bare}"]
    said = run([*command, tmp_path / "build", ROOT], status=1).stdout
    assert f"{bare} has no cffi 2.1 or later." in said
    error = next(line for line in said.splitlines() if "ERROR" in line)
    for words in ("python3 -m venv build-tools", 'pip install meson ninja "cffi>=2.1"'):
        assert words in error
        assert words.removesuffix(' "cffi>=2.1"') in (ROOT / "README.md").read_text()


def test_readme_names_the_oldest_versions():
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"`meson setup` needs meson {DECLARED} or later and the Python module cffi 2.1" in readme
    for name in ("pyproject.toml", "debian/control", "debian/README.source"):
        assert re.search(rf"meson[ >=]+{re.escape(DECLARED)}\b", (ROOT / name).read_text()), name
