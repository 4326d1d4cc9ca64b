# SPDX-License-Identifier: Apache-2.0
"""The image is built as README says, and the containers of the page reach each other."""

import contextlib
import json
import re
from pathlib import Path

from support.builds import ROOT
from support.containerfile import runs_of, stages
from support.memif_command import Shell, interrupt
from support.pages import DOCS, blocks_of

HOME, THERE = "~/memif", "/opt/memif"


def commands_of_readme() -> list[str]:
    """Those that install the package into a virtual environment."""
    (block,) = [b for b in blocks_of(ROOT / "README.md") if "pip install '.[tools]'" in b.code]
    lines = [line.partition(" #")[0].strip() for line in block.code.splitlines()]
    return [line.removeprefix("sudo ").replace(HOME, THERE) for line in lines]


def test_an_image_is_built_by_the_commands_of_readme():
    plain = [line.replace(" -y --no-install-recommends", "") for line in runs_of(stages()[0])]
    assert plain == ["apt-get update", *commands_of_readme()]


def test_an_image_has_what_was_built_and_its_python():
    build, image = stages()
    base = re.compile(r"docker\.io/library/debian:12\b")
    assert base.match(build)
    assert base.match(image)  # the same: the package is for one version of Python
    assert f"COPY --from=build {THERE} {THERE}\n" in image
    assert "--no-install-recommends python3 " in image
    assert image.rstrip().endswith('ENTRYPOINT ["memif"]')


def test_nothing_that_was_built_here_gets_into_an_image():
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    git = (ROOT / ".gitignore").read_text()
    for name in (".venv*", "build*", "dist"):
        assert name in ignored
        assert name.rstrip("*") in git
    assert ".git" in ignored


def services() -> dict[str, list[str]]:
    """The commands of the page's file, by the name of the service."""
    (block,) = [b for b in blocks_of(DOCS / "howto" / "containers.md") if "services:" in b.code]
    found = re.findall(r"^  (\w+):\n    image: memif\n    command: (\[.*\])\n", block.code, re.M)
    return {name: json.loads(words) for name, words in found}


def test_the_containers_of_the_page_reach_each_other_in_any_order(tmp_path: Path):
    for name in ("clients", "server"):
        (tmp_path / name).mkdir()
    commands = {
        name: [word.replace("/run/", f"{tmp_path}/") for word in words]
        for name, words in services().items()
    }
    assert set(commands) == {"relay", "server", "client"}
    with contextlib.ExitStack() as stack:
        shell = Shell(tmp_path, stack)
        client = shell.start(*commands["client"], "--wait", 60)
        relay, server = (shell.start(*commands[name]) for name in ("relay", "server"))
        client.lines_until("--- 10.0.0.2 ping statistics ---")
        assert "3 received" in client.line()
        assert client.wait() == 0
        for program in (server, relay):
            interrupt(program)
