# SPDX-License-Identifier: Apache-2.0
"""The logger libmemif_py says what the debug lines say, each with a level, and holds nothing up."""

import logging
import os
import sys
import threading

import pytest
from support import builds

from libmemif_py import Interface, errors
from libmemif_py.control import log
from libmemif_py.control.lock import LOCK

TIMEOUT = 60.0
RIGHT, WRONG = "swordfish", "wrong-word"


class Heard(logging.Handler):
    """Keeps the records, and wakes who waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self.records.append(record)
            self._more.notify_all()

    def of(self, text: str) -> list[tuple[str, str]]:
        return [(r.levelname, r.getMessage()) for r in self.records if text in r.getMessage()]

    def wait_for(self, text: str, count: int = 1) -> list[tuple[str, str]]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.of(text)) >= count, TIMEOUT), self.records
        return self.of(text)


@pytest.fixture
def heard():
    logger, handler = logging.getLogger("libmemif_py"), Heard()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_a_link_that_comes_and_goes_is_information(tmp_path, heard):
    path = tmp_path / "socket"
    with Interface(path, role="master", name="tap") as master:
        with Interface(path) as slave:
            slave.wait_connected(TIMEOUT)
            master.wait_connected(TIMEOUT)
        ended = heard.wait_for("disconnected by the peer")
    assert ended == [
        ("INFO", f"master tap id 0 on {path}: disconnected by the peer: interface deleted")
    ]
    slaves = f"slave - id 0 on {path}: "
    assert heard.of(slaves + "connected") == [("INFO", f"{slaves}connected, protocol version 512")]
    assert heard.of(slaves + "interface") == [("INFO", f"{slaves}interface deleted")]
    assert {r.levelname for r in heard.records} <= {"INFO", "DEBUG"}


def test_a_refusal_is_a_warning_once(tmp_path, heard):
    path = tmp_path / "socket"
    with (
        Interface(path, role="master", secret=RIGHT),
        Interface(path, secret=WRONG, retry_interval=0.001),
    ):
        found = heard.wait_for("slave - id 0", 5)
        masters = heard.of("master - id 0")
    levels = [level for level, text in found if "incorrect secret" in text]
    assert levels == ["WARNING"] + ["DEBUG"] * (len(levels) - 1)
    assert [level for level, _ in masters].count("WARNING") == 1
    assert not any(word in r.getMessage() for r in heard.records for word in (RIGHT, WRONG))


def test_a_master_that_is_not_there_is_a_detail_told_once(tmp_path, heard):
    path = tmp_path / "socket"
    with Interface(path, retry_interval=0.001) as slave:
        heard.wait_for(f"slave - id 0 on {path}")
        with pytest.raises(errors.Timeout):
            slave.wait_connected(0.05)
    assert [r.levelname for r in heard.records] == ["DEBUG"]


def test_a_record_says_where_it_comes_from(tmp_path, heard):
    with Interface(tmp_path / "socket", role="master"), Interface(tmp_path / "socket") as slave:
        slave.wait_connected(TIMEOUT)
        heard.wait_for("connected", 2)
    record = next(r for r in heard.records if "connected" in r.getMessage())
    assert (record.name, record.funcName) == ("libmemif_py", "_established")
    assert record.pathname.endswith("control/link.py")


def test_a_handler_holds_no_lock_and_may_use_the_library(tmp_path, heard):
    """A handler that waits for another thread, which calls the library, would wait for ever."""
    free = []

    def emit(_record: logging.LogRecord) -> None:
        def use() -> None:
            with LOCK, Interface(tmp_path / f"of-handler-{len(free)}"):
                free.append(True)
                log.keep(logging.INFO, "of the other thread", sys._getframe())

        if len(free) < 3:
            thread = threading.Thread(target=use)
            thread.start()
            thread.join(TIMEOUT)
            free.append(not thread.is_alive())

    heard.emit = emit
    with Interface(tmp_path / "socket", role="master"), Interface(tmp_path / "socket") as slave:
        slave.wait_connected(TIMEOUT)
    assert free
    assert all(free)


def test_a_handler_that_forks_leaves_the_child_able_to_log(tmp_path, heard):
    children = []

    def emit(record: logging.LogRecord) -> None:
        if record.getMessage() == "fork" and (child := os.fork()) == 0:
            log.keep(logging.INFO, "of the child", sys._getframe())
        elif record.getMessage() == "fork":
            children.append(child)
        elif record.getMessage() == "of the child":
            os._exit(7)

    heard.emit = emit
    log.keep(logging.INFO, "fork", sys._getframe())
    log.hand_on()
    (child,) = children
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_the_lines_come_before_the_callback_that_they_led_to(tmp_path, heard):
    order = []
    heard.emit = lambda record: order.append(record.getMessage().rpartition(": ")[2])
    path = tmp_path / "socket"
    up, down = threading.Event(), threading.Event()

    def on_connect(_: Interface) -> None:
        order.append("on_connect")
        up.set()

    def on_disconnect(_: Interface, reason: str) -> None:
        order.append("on_disconnect")
        down.set()

    with Interface(path, role="master", on_connect=on_connect, on_disconnect=on_disconnect):
        with Interface(path) as slave:
            slave.wait_connected(TIMEOUT)
            assert up.wait(TIMEOUT)
        assert down.wait(TIMEOUT)
    connected = order.index("connected, protocol version 512")
    assert connected < order.index("on_connect") < order.index("interface deleted")
    assert order.index("interface deleted") < order.index("on_disconnect")


def test_a_handler_that_raises_ends_nothing(tmp_path, heard, monkeypatch):
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: shown.append(kind))
    heard.handle = lambda _: 1 / 0
    path = tmp_path / "socket"
    with Interface(path, role="master") as master, Interface(path) as slave:
        slave.send(b"packet", TIMEOUT)
        assert master.recv(TIMEOUT) == b"packet"
    assert set(shown) == {ZeroDivisionError}


SILENT = """
import sys
from libmemif_py import Interface
with Interface(sys.argv[1], role="master", secret="a"), Interface(sys.argv[1], secret="b") as slave:
    while not slave.details().last_error:
        try:
            slave.wait_connected(0.01)
        except TimeoutError:
            pass
"""


def test_a_program_that_configures_no_logging_prints_nothing(tmp_path):
    result = builds.run([sys.executable, "-c", SILENT, tmp_path / "socket"], cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("", "")


def test_the_interpreter_in_a_c_program_loads_no_logging():
    """Every C program would wait for the import when it starts."""
    command = [
        *(sys.executable, "-I", "-S", "-c"),
        "import sys; sys.path.insert(0, sys.argv[1]); import libmemif_py.control.hub; "
        "print('logging' in sys.modules)",
    ]
    assert builds.run([*command, builds.ROOT], cwd=builds.ROOT).stdout == "False\n"
