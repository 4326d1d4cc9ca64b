# SPDX-License-Identifier: Apache-2.0
"""The version is the same everywhere."""

import re

from support import builds
from support.builds import APIS, ROOT, run
from support.installations import pkg_config


def test_the_version_is_the_same_everywhere(plain, pip_venv):
    declared = builds.declared_version()
    modversions = [pkg_config(plain, api.package, "--modversion") for api in APIS]
    metadata = "from importlib.metadata import version; print(version('libmemif-py'))"
    told = run([pip_venv, "-I", "-m", "libmemif_py", "--version"]).stdout
    assert modversions == [[declared]] * len(APIS)
    assert run([pip_venv, "-I", "-c", metadata]).stdout == f"{declared}\n"
    assert told == f"libmemif-py {declared}\n"


def test_the_changelogs_are_of_the_version():
    declared = builds.declared_version()
    debian = (ROOT / "debian" / "changelog").read_text().splitlines()[0]
    assert debian.startswith(f"libmemif-py ({declared}) ")
    newest = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)[1]
    assert re.match(rf"\[Unreleased\]: {re.escape(declared)}$|\[{re.escape(declared)}\] - ", newest)
