"""What every part of a running server is given pieces of: storage, time, background work, and who we are."""

from typing import Any

from attrs import frozen

from federation.outbound.wire import Wire
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.intake import Signer
from matrix.ids import ServerName
from storage.opened import Storage
from synapse_like_config import Config


@frozen(kw_only=True)
class Core:
    config: Config
    reactor: Any  # the global one; each part's own signature says which of its interfaces it uses
    storage: Storage
    clock: Clock
    tasks: Tasks
    metrics: Metrics
    signer: Signer
    wire: Wire | None = None  # to other servers; None: the real one

    @property
    def server_name(self) -> ServerName:
        return self.signer.server_name

    def is_local(self, server_name: str) -> bool:
        return server_name == self.signer.server_name
