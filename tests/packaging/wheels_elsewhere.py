# SPDX-License-Identifier: Apache-2.0
"""The wheels in dist/ on another Debian; it runs when named, with --wheels-root=FOLDER.

FOLDER is the root of that Debian, with python3-venv, gcc, libc6-dev and the package libpython3.X,
such as build-roots/trixie after `./bootstrap demo --in trixie`. It does not change.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from support.builds import APIS, PROGRAMS, ROOT, run
from support.installations import PYTHON_EXCHANGE

# IN_ROOT LOWER FOLDER SHARED SCRIPT: in a copy of LOWER, for which FOLDER is empty. SHARED is below
# /tmp there. Mounts end with the namespace, which is this program's.
IN_ROOT = """
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
mkdir -p "$2/root/tmp/shared"
mount --bind "$3" "$2/root/tmp/shared"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
exec chroot "$2/root" sh -euxc "$4"
"""
SCRIPT = """
cd /tmp/shared
python3 -I -m venv venv
venv/bin/python -I -m pip install --quiet --no-index --find-links=. libmemif-py
venv/bin/python -I exchanges.py /tmp/python.sock
for api in {apis}; do
    flags=$(venv/bin/python -P -m libmemif_py --api $api --cflags --libs)
    gcc -o program plain.c exchange_v${{api%.*}}.c $flags
    env -i ./program /tmp/c$api.sock
done
echo used
"""


def test_a_wheel_that_was_built_here_is_used_there(request, tmp_path):
    root = request.config.getoption("wheels_root")
    if root is None:
        pytest.fail("say which other Debian: --wheels-root=FOLDER")
    root = Path(root).resolve()
    version = Path(os.readlink(root / "usr/bin/python3")).name.removeprefix("python")
    tag = "cp" + version.replace(".", "")
    (wheel,) = (ROOT / "dist").glob(f"libmemif_py-*-{tag}-{tag}-manylinux*.whl")
    shared, place = tmp_path / "shared", tmp_path / "place"
    shared.mkdir()
    place.mkdir()
    for file in (wheel, PYTHON_EXCHANGE, *PROGRAMS.iterdir()):
        shutil.copy(file, shared)
    # What the wheel depends on, for the Python there.
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    run([*download, f"--python-version={version}", "--dest", shared, "cffi>=2.1"])
    script = SCRIPT.format(apis=" ".join(api.version for api in APIS))
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *user, "--mount", "--net", "--pid", "--fork", "sh", "-euc", IN_ROOT, "sh"]
    result = run(
        [*command, root, place, shared, script],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        timeout=300,
    )
    assert result.stdout.splitlines() == ["good", "used"]
    print(result.stderr)
