# SPDX-License-Identifier: Apache-2.0
"""Exceptions: one class for each code, all of them MemifErrors and the builtin that fits."""

import inspect
import pickle

import pytest

import libmemif_py
from libmemif_py import Interface, MemifError, Timeout, errors
from libmemif_py.control import reactor

BUILTINS = {
    Timeout: TimeoutError,
    errors.AccessError: PermissionError,
    errors.AgainError: BlockingIOError,
    errors.AlreadyConnectedError: ConnectionError,
    errors.AlreadyError: OSError,
    errors.ArgumentError: ValueError,
    errors.BadFileError: OSError,
    errors.CallbackError: RuntimeError,
    errors.ConnectionRefused: ConnectionRefusedError,
    errors.CookieError: ConnectionError,
    errors.DetailsSizeError: BufferError,
    errors.Disconnected: ConnectionError,
    errors.FileLimitError: OSError,
    errors.FileNotSocketError: OSError,
    errors.ForkedError: RuntimeError,
    errors.InterfaceIdError: ValueError,
    errors.MoreWaitingError: BufferError,
    errors.NoConnectionError: ConnectionError,
    errors.NoFileError: FileNotFoundError,
    errors.NoMemoryError: MemoryError,
    errors.PollCancelled: Exception,
    errors.ProcessFileLimitError: OSError,
    errors.ProtocolMismatchError: ConnectionError,
    errors.QueueError: IndexError,
    errors.RegionLimitError: ConnectionError,
    errors.RingFullError: BufferError,
    errors.RingLimitError: ConnectionError,
    errors.RingSizeError: ValueError,
    errors.SignalError: OSError,
    errors.SystemCallError: OSError,
    errors.WaitError: Exception,
}


def test_every_exception_is_in_the_table():
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass)}
    assert kinds | {Timeout} == {*BUILTINS, MemifError}


def test_the_package_has_every_exception():
    for kind in (MemifError, *BUILTINS):
        assert kind.__name__ in libmemif_py.__all__
        assert getattr(libmemif_py, kind.__name__) is kind


def test_a_receive_loop_has_one_exception_for_what_passes():
    assert {k for k in BUILTINS if issubclass(k, errors.WaitError)} == {
        errors.WaitError,
        Timeout,
        errors.Disconnected,
    }


@pytest.mark.parametrize("kind", BUILTINS, ids=lambda kind: kind.__name__)
def test_exceptions_are_memif_errors_and_builtins(kind):
    assert issubclass(kind, MemifError)
    assert issubclass(kind, BUILTINS[kind])
    error = kind("what happened")
    assert (str(error), type(pickle.loads(pickle.dumps(error)))) == ("what happened", kind)  # noqa: S301


def test_every_code_of_the_core_is_told_by_its_exception():
    """Codes that 1.0 has and nobody returns have no class of their own."""
    assert set(errors.BY_CODE) <= set(reactor.native.names)
    for code, name in enumerate(reactor.native.names):
        error = reactor.native.error(code, "what")
        assert (type(error), error.code) == (errors.BY_CODE.get(name, MemifError), name)
        assert reactor.native.code_of(error) == code


def test_builtins_catch_what_calls_raise(tmp_path):
    with pytest.raises(FileNotFoundError):
        Interface(tmp_path / "none" / "socket", role="master")
    with pytest.raises(ValueError, match="ring_size 3"):
        Interface(tmp_path / "socket", ring_size=3)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Interface(tmp_path / "file", role="master")
    with Interface(tmp_path / "socket", role="master") as master:
        with pytest.raises(TimeoutError):
            master.wait_connected(0)
        with pytest.raises(ConnectionError):
            master.recv(0)
        with pytest.raises(IndexError):
            master.recv(0, queue=1)
        with pytest.raises(ValueError, match="id 0"):
            Interface(tmp_path / "socket", role="master")
    with pytest.raises(ConnectionError):
        master.recv(0)
