"""Being a notary: what other servers say of their keys, with our signature added.

Source: server-server API, "Querying Keys Through Another Server".
"""

from collections.abc import Mapping

import orjson
from twisted.internet.defer import DeferredSemaphore

from federation.outbound.keys import ServerKeys
from federation.outbound.own_keys import OwnKeys
from homeserver.runtime.clock import Clock
from matrix import signing
from matrix.events import Json
from matrix.ids import ServerName
from storage import server_keys as rows
from storage.database import Database

# Anybody may ask: so many servers are asked anew for one question, and so many questions at once lead to asking.
MAX_ASKED = 20
MAX_AT_ONCE = 10


class NotaryAnswers:
    def __init__(self, *, database: Database, keys: ServerKeys, own: OwnKeys, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._own = own
        self._clock = clock
        self._asking = DeferredSemaphore(MAX_AT_ONCE)

    async def tell(
        self, wanted: Mapping[ServerName, Mapping[str, int]], needed_ms: Mapping[ServerName, int]
    ) -> list[Json]:
        """What is known of these servers' keys, as they signed it and now we.

        `wanted`: the keys asked for and until when each must be valid; none: whatever there is. `needed_ms`: until when
        the whole answer should be. A server is asked anew if what is stored falls short.
        """
        names = [name for name in wanted if not self._own.is_own(name)]
        stored = await self._stored(names)
        short = {
            name: dict(wanted[name]) for name in names if _falls_short(stored.get(name), wanted[name], needed_ms[name])
        }
        asked = dict(list(short.items())[:MAX_ASKED])
        if asked:
            await self._asking.acquire()
            try:
                await self._keys.refresh(asked)
            finally:
                self._asking.release()
            stored.update(await self._stored(list(asked)))
        told = [signing.sign_json(stored[name], str(self._own.server_name), self._own.signer) for name in stored]
        own = [self._own.published(self._clock.now_ms())] if any(self._own.is_own(name) for name in wanted) else []
        return [*own, *told]

    async def _stored(self, names: list[ServerName]) -> dict[ServerName, Json]:
        found = await self._database.read(rows.find_answers, names) if names else []
        return {ServerName(row.server_name): orjson.loads(row.answer) for row in found}


def _falls_short(answer: Json | None, keys: Mapping[str, int], needed_ms: int) -> bool:
    if answer is None or answer["valid_until_ts"] < needed_ms:
        return True
    shown = {**answer.get("old_verify_keys", {}), **answer.get("verify_keys", {})}
    return any(key_id not in shown for key_id in keys)
