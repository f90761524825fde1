"""What every part of a bridge uses, bundled: made once, in assembly.py."""

from attrs import frozen

from appservice.bridges.core.matrix_client import Actor, MatrixClient
from appservice.bridges.core.names import Template
from appservice.bridges.core.network import Network
from appservice.bridges.core.settings import BridgeSettings
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from storage.bridges_store import Store


@frozen(kw_only=True)
class Context:
    """`bot` is the bridge's own user; `users` and `aliases` are the names of ghosts and rooms."""

    settings: BridgeSettings
    network: Network
    store: Store
    matrix: MatrixClient
    clock: Clock
    tasks: Tasks
    metrics: Metrics
    bot: Actor
    users: Template
    aliases: Template

    def is_own(self, user_id: str) -> bool:
        """The bot or a ghost."""
        return user_id == self.bot.user_id or self.users.matches(user_id)

    @property
    def puppet_mark(self) -> dict[str, str]:
        """In the contents of what is done as a real user, so that it is not bridged back."""
        return {"fi.mau.double_puppet_source": self.store.bridge}
