"""Our own signing keys, as we and others know them."""

from collections.abc import Mapping, Sequence

from matrix.events import Json
from matrix.ids import ServerName
from matrix.server_keys import KnownKey, OldKey, publish
from matrix.signing import SigningKey

_FOR_EVER_MS = 2**53 - 1


class OwnKeys:
    """The keys of this server. The first of `keys` signs; all of them are published."""

    def __init__(
        self,
        *,
        server_name: ServerName,
        keys: Sequence[SigningKey],
        old: Mapping[str, OldKey],
        valid_ms: int,
    ) -> None:
        self.server_name = server_name
        self._keys = tuple(keys)
        self._old = {key_id: key for key_id, key in old.items() if all(key_id != each.key_id for each in keys)}
        self._valid_ms = valid_ms

    def is_own(self, server_name: str) -> bool:
        return server_name == self.server_name

    @property
    def signer(self) -> SigningKey:
        return self._keys[0]

    def known(self) -> dict[str, KnownKey]:
        """Our keys as if another server's."""
        old = {key_id: KnownKey(key.verify_key, key.expired_ms, is_old=True) for key_id, key in self._old.items()}
        return {**old, **{key.key_id: KnownKey(key.verify_key, _FOR_EVER_MS) for key in self._keys}}

    def published(self, now_ms: int) -> Json:
        """What /_matrix/key/v2/server tells."""
        return publish(self.server_name, self._keys, self._old, now_ms + self._valid_ms)
