# SPDX-License-Identifier: Apache-2.0
"""What proofs/cbmc claims of the data path is shown, and a fault in the sources is found.

Debian has CBMC from 13 on. On an older one tests/fresh/test_trixie.py runs the same in a Debian 13.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from cbmc.fault import NATIVE
from cbmc.faults import FAULTS
from cbmc.proof import ALL, HERE, ROOT, SHORT, SHOWN, every_proof

CHECK = HERE / "check.py"
MACROS = re.compile(r"^MIF_(?:RX_)?INSTANCES(?:\((\w+)\))?$", re.M)


def check(*options: str) -> str:
    if shutil.which("cbmc") is None:
        pytest.skip("this Debian has no cbmc: tests/fresh/test_trixie.py runs this in another one")
    command = [sys.executable, CHECK, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_short_proofs_are_shown():
    assert f"cbmc: {len(SHORT)} of {len(SHORT)} proofs shown" in check("--short")


def test_a_fault_in_the_sources_is_found():
    assert re.search(r"cbmc: ([1-9]\d*) of \1 faults found", check("--short", "--faults"))


def test_the_short_proofs_are_some_of_all():
    assert set(SHORT) < set(SHOWN) <= set(every_proof())


def test_each_function_that_a_stub_stands_for_has_a_proof():
    of_steps = [proof for proof in every_proof() if proof.face in ("packet", "entry")]
    for proof in of_steps:
        for name in proof.steps():
            assert re.sub("^mif_(chain_)?", "", name) in ALL[proof.face], name


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_one_change_of_the_sources_as_they_are(tmp_path, fault):
    file = tmp_path / NATIVE / fault.file
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / NATIVE / fault.file, file)
    before = file.read_text()
    fault.put_in(tmp_path)
    assert file.read_text() != before
    assert fault.proof in SHOWN


def test_no_fault_is_named_twice():
    assert not [name for name, n in Counter(f.name for f in FAULTS).items() if n > 1]


@pytest.mark.parametrize("face", ["packet", "entry"])
def test_each_burst_function_of_a_face_has_a_proof(face):
    source = (ROOT / NATIVE / "datapath" / f"{face}_fast_path.h").read_text()
    functions = {name or "rx_burst" for name in MACROS.findall(source)}
    proofs = (HERE / "bursts.h").read_text()
    assert functions == {"rx_burst", "alloc_burst", "tx_burst"} | (
        {"free_burst"} if face == "packet" else {"refill_burst"}
    )
    assert all(f"BURST({name})" in proofs for name in functions)
