# SPDX-License-Identifier: Apache-2.0
"""Steps of a tear-down: all are taken, also after one that failed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Steps:
    """Takes every step, and raises the first error when all are done.

        with Steps() as steps:
            steps.take(remove_file)
            steps.take(sock.close)

    Later errors become notes of the first. Inside an `except`, `Steps(error)` undoes what was done
    before the error, and raises `error`.
    """

    __slots__ = ("_first",)

    def __init__(self, first: BaseException | None = None) -> None:
        """`first`: why the steps are taken, if it is an error."""
        self._first = first

    def take(self, step: Callable[..., object], *arguments: object) -> None:
        """Call `step`; keep what it raises."""
        try:
            step(*arguments)
        except BaseException as error:
            self._keep(error)

    def _keep(self, error: BaseException) -> None:
        if self._first is None:
            self._first = error
        elif error is not self._first:
            self._first.add_note(f"and then: {error!r}")

    def __enter__(self) -> Steps:
        """The steps follow."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Raise the first error, which may be one from between the steps."""
        if error is not None:
            self._keep(error)
        # The error's traceback holds this frame. A reference back would keep both alive in a cycle.
        first, self._first = self._first, None
        try:
            if first is not None and first is not error:
                raise first
        finally:
            del first
