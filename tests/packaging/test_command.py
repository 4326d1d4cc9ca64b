# SPDX-License-Identifier: Apache-2.0
"""The command `memif`, as meson installs it."""

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
from support import builds
from support.builds import BASE_PYTHON, ROOT, Installed, declared_version, environment, run
from support.installations import EXTRAS, make_venv


@pytest.fixture(scope="session")
def extras(tmp_path_factory) -> Path:
    """A folder with the packages of the extra `tools`, and nothing else."""
    folder = tmp_path_factory.mktemp("extras")
    for name in EXTRAS:
        shutil.copytree(Path(sysconfig.get_path("purelib"), name), folder / name)
    return folder


def script(installed: Installed) -> Path:
    return installed.tree / "bin" / "memif"


def extcap(installed: Installed) -> Path:
    return installed.library_dir / "wireshark" / "extcap" / "memif-extcap"


def check_version(command: Path, extras: Path) -> None:
    variables = environment(PYTHONPATH=str(extras))
    result = run([command, "--version"], env=variables, cwd="/")
    assert result.stdout.startswith(f"libmemif-py {declared_version()}\n")


def test_it_runs_with_the_package_of_its_prefix(installed, extras):
    check_version(script(installed), extras)
    code = f"import runpy; runpy.run_path({str(script(installed))!r}); import libmemif_py as p"
    command = [BASE_PYTHON, "-P", "-c", f"{code}; print(p.__file__)"]
    found = run(command, env=environment(PYTHONPATH=str(extras)), cwd="/").stdout.strip()
    assert Path(found) == installed.package / "__init__.py"


def test_it_runs_with_the_interpreter_of_its_prefix(plain, usr, in_venv):
    version = "python{}.{}".format(*sys.version_info)
    assert interpreter(script(in_venv)) == in_venv.prefix / "bin" / version
    for installed in (plain, usr):
        assert interpreter(script(installed)) == BASE_PYTHON


def interpreter(command: Path) -> Path:
    return Path(command.read_text().splitlines()[0].removeprefix("#!"))


def test_it_may_be_executed_by_everyone(installed):
    assert script(installed).stat().st_mode & 0o777 == 0o755


def test_the_program_of_wireshark_runs_with_the_package_of_its_prefix(installed, tmp_path, extras):
    (tmp_path / "link").symlink_to(extcap(installed))
    for command in (extcap(installed), tmp_path / "link"):
        variables = environment(PYTHONPATH=str(extras))
        said = run([command, "--version"], env=variables, cwd="/").stdout
        assert said == f"{declared_version()}\n"
    assert extcap(installed).stat().st_mode & 0o777 == 0o755


def test_it_finds_the_package_of_a_prefix_that_was_moved(plain, tmp_path, extras):
    moved = plain.copy(tmp_path / "moved")
    (tmp_path / "link").symlink_to(script(moved))
    for command in (script(moved), tmp_path / "link"):
        check_version(command, extras)


def test_it_does_not_take_modules_from_the_working_folder(plain, tmp_path, extras):
    (tmp_path / "click.py").write_text("raise SystemExit('the wrong click')\n")
    result = run(
        [script(plain), "--version"], env=environment(PYTHONPATH=str(extras)), cwd=tmp_path
    )
    assert result.stdout


@pytest.mark.parametrize("name", ["with a space", "x" * 200])
def test_a_path_that_the_kernel_does_not_take_for_an_interpreter_works(tmp_path, name):
    python = make_venv(tmp_path / name, "--without-pip")
    build = ROOT / "libmemif_py" / "native" / "buildtools" / "command_script.py"
    words = ("packages", "memif", "libmemif_py.tools.main")
    text = run([BASE_PYTHON, build, python, *words]).stdout
    tools = tmp_path / "packages" / "libmemif_py" / "tools"
    tools.mkdir(parents=True)
    (tools / "main.py").write_text(
        "import sys\n\ndef main():\n    print(sys.prefix, sys.argv[1:])\n"
    )
    command = tmp_path / "memif"
    command.write_text(text)
    command.chmod(0o755)
    assert run([command, "a b", "c"]).stdout == f"{tmp_path / name} ['a b', 'c']\n"


SAYS_WHAT_TO_INSTALL = """
import os, sys
for name in ("click", "rich"):
    sys.modules.pop(name, None)
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("click", "rich"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
exists = os.path.exists
os.path.exists = lambda path: FOUND if path.endswith("EXTERNALLY-MANAGED") else exists(path)
from libmemif_py.tools.main import main
sys.exit(main(["--version"]))
"""


@pytest.mark.parametrize("managed", [True, False])
def test_without_its_extras_it_names_a_command_that_works_there(plain, in_venv, managed, tmp_path):
    (tmp_path / "apt-get").touch(mode=0o755)
    code = SAYS_WHAT_TO_INSTALL.replace("FOUND", str(managed))
    own = in_venv.prefix / "bin" / "python"
    for python, installed in ((BASE_PYTHON, plain), (own, in_venv)):
        pip = f"{python} -m pip install click rich"
        apt = "apt-get install python3-click python3-rich"
        wanted = apt if managed and python == BASE_PYTHON else pip
        env = environment(PYTHONPATH=str(installed.package.parent), PATH=str(tmp_path))
        result = run([python, "-P", "-c", code], env=env, cwd=tmp_path, status=2)
        assert result.stderr == f"memif: click is missing. Install it: {wanted}\n"


def test_a_wheel_has_no_second_script(sources, tmp_path):
    builds.meson("setup", tmp_path / "build", sources, "-Dwheel=true")
    plan = builds.meson("introspect", tmp_path / "build", "--installed")
    assert "/bin/memif" not in plan
