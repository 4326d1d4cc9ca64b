# SPDX-License-Identifier: Apache-2.0
"""All that names the versions of Python names the same ones."""

import re
import tomllib

import interpreters
from support.builds import ROOT


def declared() -> list[str]:
    """By the classifiers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    numbers = [re.fullmatch(r".* :: Python :: (3\.\d+)", line) for line in project["classifiers"]]
    versions = [number[1] for number in numbers if number]
    assert project["requires-python"] == f">={versions[0]}"
    return versions


def test_they_follow_each_other():
    versions = declared()
    first = int(versions[0].removeprefix("3."))
    assert versions == [f"3.{first + at}" for at in range(len(versions))]


def test_the_readme_names_the_same():
    text = (ROOT / "README.md").read_text()
    assert re.findall(r"Python (3\.\d+) to (3\.\d+)", text) == [(declared()[0], declared()[-1])]


def test_bootstrap_looks_for_the_same():
    text = (ROOT / "bootstrap").read_text()
    newest_first = " ".join(f"python{version}" for version in reversed(declared()))
    assert f"set -- /usr/bin/python3 {newest_first}\n" in text
    assert f"newest of python{declared()[0]} to python{declared()[-1]} on" in text


def test_wheels_are_made_for_the_same():
    assert [f"3.{minor}" for minor in interpreters.MINORS] == declared()


def test_the_page_says_of_each_where_it_was_tried():
    text = (ROOT / "docs" / "howto" / "python-versions.md").read_text()
    assert re.findall(r"^\| (3\.\d+) \|", text, re.M) == declared()
