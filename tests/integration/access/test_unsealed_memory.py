# SPDX-License-Identifier: Apache-2.0
"""Memory that can shrink is accepted from trusted users only."""

import pytest
from support.access import NOBODY, SOMEBODY, heard_by, other_user, umask
from support.c_collector import build_directories
from support.programs import Program, c_program, wait_until_listening

from libmemif_py import Interface


@pytest.mark.parametrize("unsealed", ["trusted", "never", "always"])
@pytest.mark.parametrize("memory", ["sealed", "sealable"])
@pytest.mark.parametrize("uid", [0, SOMEBODY, NOBODY])
def test_memory_that_cannot_shrink_any_more_is_good_from_everybody(
    path, tmp_path, uid, memory, unsealed
):
    with Interface(path, role="master", socket_mode=0o666, unsealed=unsealed):
        assert heard_by(tmp_path, uid, path, memory) == "connected"


@pytest.mark.parametrize("memory", ["unsealable", "file"])
@pytest.mark.parametrize(
    ("unsealed", "uid", "accepted"),
    [
        ("trusted", 0, True),
        ("trusted", SOMEBODY, False),
        ("trusted", NOBODY, False),
        ("never", 0, False),
        ("never", SOMEBODY, False),
        ("always", SOMEBODY, True),
    ],
)
def test_memory_that_can_shrink_is_a_matter_of_trust(
    path, tmp_path, memory, unsealed, uid, accepted
):
    reason = f"region can shrink, user {uid}, policy {unsealed}: expected a sealed memfd"
    with Interface(path, role="master", socket_mode=0o666, unsealed=unsealed):
        heard = heard_by(tmp_path, uid, path, memory)
        assert heard == ("connected" if accepted else reason)


@pytest.mark.parametrize(
    ("uid", "accepted"),
    [(SOMEBODY, True), (NOBODY, False)],
    ids=["our own user", "a user that stands for all of other namespaces"],
)
def test_our_own_user_is_trusted(folder, tmp_path, uid, accepted):
    folder.chmod(0o777)
    path = folder / "socket"
    with other_user(tmp_path, uid, "master", path) as master:
        assert master.line() == "listening"
        heard = heard_by(tmp_path, uid, path, "unsealable")
        assert (heard == "connected") == accepted, heard


@pytest.mark.parametrize("api", ["v1", "v4"])
@pytest.mark.parametrize(
    ("wish", "uid", "accepted"),
    [
        (None, 0, True),
        ("trusted", 0, True),
        ("", 0, True),
        ("never", 0, False),
        ("nevr", 0, False),
        ("always", 0, False),
        ("trusted", SOMEBODY, False),
        ("always", SOMEBODY, False),
    ],
)
def test_the_environment_makes_a_c_program_stricter_and_never_laxer(
    path, tmp_path, pytestconfig, api, wish, uid, accepted
):
    command = [c_program(build_directories(pytestconfig)[0].path, "traffic", api)]
    command += ["-s", str(path), "-r", "master"]
    environment = {} if wish is None else {"LIBMEMIF_UNSEALED": wish}
    with umask(0), Program(command, tmp_path / "errors", environment) as master:
        assert master.line() == "ready"
        wait_until_listening(str(path))
        heard = heard_by(tmp_path, uid, path, "unsealable")
        assert (heard == "connected") == accepted, heard
        assert accepted or "region can shrink" in heard
