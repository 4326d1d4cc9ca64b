# SPDX-License-Identifier: Apache-2.0
"""`--in SUITE`: gives devtools/debian_root.sh the sources, and what pip and apt-get need there to
reach what they reach here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from console import ROOT, as_root, become, say
from sources import copy_sources

SCRIPT = ROOT / "devtools" / "debian_root.sh"
ROOTS = ROOT / "build-roots"
VARIABLES = re.compile(
    r"PIP_[A-Z_]+|TERM|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(https?|ftp|all|no)_proxy|(HTTPS?|FTP|ALL|NO)_PROXY"
)
URL = re.compile(r"[a-z+]+://[^ \n]*")
PATH = re.compile(r"/[^][ ,;'\"\s]+")
# What the root has of its own, or had better not get.
LEFT_OUT = re.compile(r"/tmp|/(dev|proc|var|usr/bin)/.*")  # noqa: S108 - left out


def run_in_suite(suite: str, *command: str) -> None:
    """Run a command of ./bootstrap in a bare Debian of that suite."""
    inputs = prepare_inputs()
    say(f"running ./bootstrap {' '.join(command)} in build-roots/{suite}")
    become(in_root(ROOTS / suite, suite, inputs, "./bootstrap", *command))


def prepare_inputs() -> Path:
    """Return a folder of what `in_root` gives to a root and removes at the end."""
    inputs = Path(tempfile.mkdtemp())
    try:
        copy_sources(inputs / "sources")
        _write_network_settings(inputs)
    except BaseException:
        shutil.rmtree(inputs)
        raise
    return inputs


def in_root(root: Path, suite: str, inputs: Path, *command: str | Path) -> list[str | Path]:
    """Return what runs a command on the sources in a root, which is made if it is not there."""
    return as_root([SCRIPT, root, suite, inputs, *command])


def _write_network_settings(folder: Path) -> None:
    """Write the variables, and lists of the files and folders that the settings name."""
    home = os.environ.get("HOME", "/root")
    variables = {"HOME": home}
    variables |= {k: v for k, v in os.environ.items() if VARIABLES.fullmatch(k)}
    exports = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items())
    (folder / "environment").write_text(exports)
    texts = [exports, *_settings_of_apt_and_pip(Path(home))]
    paths = {path for path in _named_paths("\n".join(texts)) if str(path) != home}
    _write_list(folder / "files", {path for path in paths if path.is_file()})
    _write_list(folder / "folders", set(_folders(paths)))


def _settings_of_apt_and_pip(home: Path) -> list[str]:
    """Return texts that name files."""
    settings = Path(os.environ.get("XDG_CONFIG_HOME", home / ".config"))
    pip = [
        Path("/etc/pip.conf"),
        Path(os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg"), "pip/pip.conf"),
        home / ".pip" / "pip.conf",
        settings / "pip" / "pip.conf",
        Path(os.environ.get("PIP_CONFIG_FILE", "/dev/null")),
    ]
    pip = [path for path in pip if path.is_file()]
    certificates = Path("/usr/local/share/ca-certificates").glob("*.crt")
    others = [home / ".netrc", Path("/etc/ssl/certs/ca-certificates.crt"), *certificates]
    apt = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, check=True)
    return [apt.stdout.decode(), *map(str, pip + others), *(path.read_text() for path in pip)]


def _named_paths(text: str) -> set[Path]:
    local = URL.sub("", text.replace("file://", ""))
    return {Path(path) for path in PATH.findall(local) if not LEFT_OUT.fullmatch(path)}


def _folders(paths: set[Path]) -> Iterator[Path]:
    """Return what is mounted: the pages of an index name files that lie beside it."""
    for path in paths:
        folder = path.parent if len(path.parts) > 3 else path
        if path.parts[1] != "etc" and folder.is_dir():
            yield folder


def _write_list(file: Path, paths: set[Path]) -> None:
    file.write_text("".join(f"{path}\n" for path in sorted(paths)))
