# SPDX-License-Identifier: Apache-2.0
"""What the 1.0 C API calls: unpacks arguments and calls the control plane."""

from __future__ import annotations

from .. import errors
from ..control.endpoint import Settings
from ..control.hub import Hub
from ..control.steps import Steps
from ..control.wire import NAME_SIZE, up_to_nul
from . import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..control.endpoint import Endpoint


class ApiV1(common.Api):
    """The functions that capi/v1/api.c calls, and their state: the one hub."""

    name = b"1.0"
    hub: Hub | None = None

    def init(self, app_name: Any) -> None:
        """memif_init."""
        self.native.check(self.lib.mif_v1_poller_open(), "hub")
        try:
            name = self.ffi.string(app_name, NAME_SIZE - 1)  # peers may want a NUL behind it
            self.hub = Hub(self.native, self.lib.mif_v1_poller(), name)
        except BaseException:
            self.lib.mif_v1_poller_close()
            raise

    def cleanup(self) -> None:
        """memif_cleanup."""
        if self.hub is None or self.hub.closed:
            return
        with Steps() as steps:
            steps.take(self.hub.close)  # callbacks may still ask for details
            self.hub = None
            steps.take(self.lib.mif_v1_poller_close)

    def create(
        self,
        handle: Any,
        args: Any,
        on_connect: Any,
        on_disconnect: Any,
        interrupt: Any,
        ctx: Any,
        options: Any,
    ) -> None:
        """memif_create, memif_ext_create."""
        program = common.Program(self.native, on_connect, on_disconnect, ctx, options)
        endpoint = self._hub().add(self._settings(args, options), program, interrupt, ctx)
        handle[0] = endpoint.handle

    def on_event(self, _pointer: int, fd: int, events: int) -> None:
        """A descriptor of the control plane is ready."""
        common.on_event(self.hub, fd, events)

    def fill_details(self, endpoint: Endpoint, md: Any, packer: common.Packer) -> None:
        """See Api."""
        self.describe(endpoint, md, packer)
        md.socket_filename = packer.string(endpoint.settings.path)
        self.describe_queues(endpoint, md, packer, lambda _state: {})

    def find(self, handle: Any) -> Endpoint:
        """The interface of a handle."""
        return self._hub().find(handle)

    def _hub(self) -> Hub:
        if self.hub is None:
            raise errors.ArgumentError("memif_init was not called")
        return self.hub

    def _settings(self, args: Any, options: Any) -> Settings:
        path = (
            b"" if args.socket_filename == self.ffi.NULL else self.ffi.string(args.socket_filename)
        )
        return self.settings(
            args,
            options,
            path=path or Settings.path,
            app_name=up_to_nul(self.ffi.buffer(args.instance_name)[:]) or self._hub().app_name,
            mode=self.lib.mif_v1_mode(args),
        )


def install(ffi: Any, lib: Any) -> None:
    """Connect the C functions to this control plane."""
    api = ApiV1(ffi, lib)
    common.install(
        api,
        {
            "init": api.init,
            "cleanup": api.cleanup,
            "create": api.create,
            "delete": api.delete,
            "control": api.on_event,
            "details": api.details,
        },
    )
