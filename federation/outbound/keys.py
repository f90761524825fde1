"""The signing keys of other servers, from memory, the database, or the servers; and what is verified with them.

Source: server-server API, "Retrieving server keys", "Validating hashes and signatures on received events".
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import orjson
from nacl.signing import VerifyKey
from twisted.internet.defer import gatherResults

from federation.outbound.key_fetch import Answers, KeyFetch, Wanted
from federation.outbound.own_keys import OwnKeys
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock, as_deferred
from homeserver.runtime.metrics import Metrics
from matrix import signing
from matrix.errors import BadSignature
from matrix.events import Json
from matrix.ids import ServerName
from matrix.room_versions import RoomVersion
from matrix.server_keys import LONGEST_VALID_MS, KnownKey
from storage import server_keys as rows
from storage.database import Database
from storage.server_keys import AnswerRow, KeyRow

T = TypeVar("T")
Known = dict[str, KnownKey]

MAX_SERVERS = 20_000
# They are kept for ever. Nobody rotates a thousand times; whoever shows us new keys all day does harm.
MAX_KEYS_OF_SERVER = 1_000
# An event or a request is signed by one or two keys of a server; who writes more makes us search for them.
MAX_KEY_IDS = 4
# Fewer are verified here and now (42 us each); more go to threads, in slices that leave each other room.
FEW_EVENTS = 20
SLICE = 100
# So many slices wait for a thread: others want one too.
SLICES_AT_ONCE = 4
# So many events are planned before others have their turn: some 3 ms.
PLANNED_AT_ONCE = 250


class InThread(Protocol):
    def __call__(self, function: Callable[[], T]) -> Awaitable[T]: ...


class ServerKeys:
    def __init__(
        self,
        *,
        database: Database,
        fetch: KeyFetch,
        own: OwnKeys,
        clock: Clock,
        in_thread: InThread,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._fetch = fetch
        self._own = own
        self._clock = clock
        self._in_thread = in_thread
        self._known: Lru[ServerName, Known] = Lru("server_keys", MAX_SERVERS, metrics=metrics)

    async def keys_of(
        self, wanted: Wanted, *, is_speaking: bool = False, before_asking: Callable[[], None] | None = None
    ) -> Mapping[ServerName, Known]:
        """What is known of these servers' keys, after asking for those that are not known or not valid long enough.

        `wanted`: by server, the key ids, and until when each must be valid (ms; 0 if that does not matter). What could
        not be had is not in the answer. `is_speaking`: as in `KeyFetch.fetch`.
        `before_asking` is called if somebody has to be asked, and may raise.
        """
        since = self._fetch.count
        known = await self._stored(wanted)
        lacking = self._lacking(wanted, known)
        if lacking:
            if before_asking is not None:
                before_asking()
            answers = await self._fetch.fetch(lacking, since=since, is_speaking=is_speaking)
            known.update(await self._take(answers))
        return known

    async def refresh(self, wanted: Wanted) -> None:
        """Asks these servers, and nobody else, for their keys. Whoever does not answer is passed over."""
        await self._take(await self._fetch.fetch(wanted, since=self._fetch.count, notaries=False))

    async def verify_json(self, server: ServerName, obj: Json, *, now_ms: int) -> None:
        """Check what a server has signed and says now. Raises: BadSignature."""
        key_ids = signing.key_ids_of(obj, server)
        for key_id, verify_key in (await self._in_use(server, key_ids, now_ms, None)).items():
            signing.verify_json(obj, server, key_id, verify_key)

    async def verify_request(
        self,
        server: ServerName,
        signatures: Mapping[str, str],
        forms: Iterable[bytes],
        *,
        now_ms: int,
        before_asking: Callable[[], None],
    ) -> None:
        """Check a request: its signatures, by key id, must all be of one form. `before_asking`: as in `keys_of`.

        Raises: BadSignature.
        """
        known = await self._in_use(server, list(signatures), now_ms, before_asking)
        fault = BadSignature("the request has no form that can be signed")
        for signed in forms:
            try:
                for key_id, verify_key in known.items():
                    signing.verify_bytes(signed, signatures[key_id], verify_key)
            except BadSignature as error:
                fault = error
            else:
                return
        raise fault

    async def _in_use(
        self, server: ServerName, key_ids: Sequence[str], now_ms: int, before_asking: Callable[[], None] | None
    ) -> dict[str, VerifyKey]:
        """Those of the keys by which the server signs now. Raises: BadSignature if there are none."""
        key_ids = key_ids[:MAX_KEY_IDS]
        wanted = {server: dict.fromkeys(key_ids, now_ms)} if key_ids else {}
        keys = (await self.keys_of(wanted, is_speaking=True, before_asking=before_asking)).get(server, {})
        used = [key_id for key_id in key_ids if key_id in keys and keys[key_id].signs_requests_at(now_ms)]
        if not used:
            raise BadSignature(f"no signature of {server} by a key of its own that is in use")
        return {key_id: keys[key_id].verify_key for key_id in used}

    async def check_events(
        self, pdus: Sequence[Json], version: RoomVersion, signed: Sequence[bytes | None] = ()
    ) -> list[BadSignature | None]:
        """For each PDU what is wrong with its signatures, None if nothing. Their format has been checked.

        `signed`: what the signatures cover, where it is known.
        """
        signed = signed or [None] * len(pdus)
        known = await self.keys_of(await self._wanted(pdus, version))
        if len(pdus) <= FEW_EVENTS:
            return [_fault(pdu, version, known, of_pdu) for pdu, of_pdu in zip(pdus, signed, strict=True)]
        slices = [(pdus[at : at + SLICE], signed[at : at + SLICE]) for at in range(0, len(pdus), SLICE)]
        faults: list[BadSignature | None] = []
        for at in range(0, len(slices), SLICES_AT_ONCE):
            some = slices[at : at + SLICES_AT_ONCE]
            for found in await gatherResults([as_deferred(self._check_slice(*one, version, known)) for one in some]):
                faults += found
        return faults

    async def _check_slice(
        self,
        pdus: Sequence[Json],
        signed: Sequence[bytes | None],
        version: RoomVersion,
        known: Mapping[ServerName, Known],
    ) -> list[BadSignature | None]:
        return await self._in_thread(
            lambda: [_fault(pdu, version, known, of_pdu) for pdu, of_pdu in zip(pdus, signed, strict=True)]
        )

    async def _wanted(self, pdus: Sequence[Json], version: RoomVersion) -> Wanted:
        wanted: dict[ServerName, dict[str, int]] = {}
        for at, pdu in enumerate(pdus, 1):
            needed_ms = pdu["origin_server_ts"] if version.enforces_key_validity else 0
            for server in _signers(pdu, version):
                keys = wanted.setdefault(server, {})
                for key_id in signing.key_ids_of(pdu, server)[:MAX_KEY_IDS]:
                    keys[key_id] = max(needed_ms, keys.get(key_id, 0))
            if at % PLANNED_AT_ONCE == 0:
                await self._clock.sleep(0)
        return wanted

    async def _stored(self, names: Iterable[ServerName]) -> dict[ServerName, Known]:
        """What is known here: in memory, and of others in the database."""
        known: dict[ServerName, Known] = {}
        unread = []
        for name in names:
            keys = self._own.known() if self._own.is_own(name) else self._known.get(name)
            if keys is None:
                unread.append(name)
            else:
                known[name] = keys
        if unread:
            version = self._known.version
            found: dict[ServerName, Known] = {name: {} for name in unread}
            for row in await self._database.read(rows.find_keys, unread):
                key = KnownKey(VerifyKey(row.verify_key), row.valid_until_ms, row.is_old)
                found[ServerName(row.server_name)][row.key_id] = key
            for name, keys in found.items():
                if keys:
                    self._known.set_if_unchanged(name, keys, version)
            known.update(found)
        return known

    def _lacking(self, wanted: Wanted, known: Mapping[ServerName, Known]) -> Wanted:
        # No server's word on its keys counts for longer, so that asking for more is in vain.
        latest_ms = self._clock.now_ms() + LONGEST_VALID_MS
        lacking = {}
        for name, keys in wanted.items():
            has = known.get(name, {})
            still = {
                key_id: needed_ms
                for key_id, needed_ms in keys.items()
                if key_id not in has or (has[key_id].valid_until_ms < needed_ms <= latest_ms and not has[key_id].is_old)
            }
            if still and not self._own.is_own(name):
                lacking[name] = still
        return lacking

    async def _take(self, answers: Answers) -> dict[ServerName, Known]:
        """Stores what was told; gives what is now known of those servers."""
        now_ms, stored = self._clock.now_ms(), await self._stored(answers)
        new: list[KeyRow] = []
        for name, answer in answers.items():
            for key_id, key in answer.keys.items():
                is_too_much = key_id not in stored[name] and len(stored[name]) >= MAX_KEYS_OF_SERVER
                if _replaces(stored[name].get(key_id), key) and not is_too_much:
                    stored[name] = {**stored[name], key_id: key}
                    data = bytes(key.verify_key)
                    new.append(KeyRow(name, key_id, data, key.valid_until_ms, now_ms, key.is_old))
        told = [
            AnswerRow(name, orjson.dumps(answer.json).decode(), answer.valid_until_ms, now_ms)
            for name, answer in answers.items()
        ]
        await self._database.run(rows.put, new, told)
        for name in answers:
            self._known.invalidate(name)
            self._known.set(name, stored[name])
        return stored


def _replaces(before: KnownKey | None, key: KnownKey) -> bool:
    """Is what is told of a key news? What was old stays so, as of the earliest time that it was said to be."""
    if before is None or before.is_old:
        return before is None or (key.is_old and key.valid_until_ms < before.valid_until_ms)
    return key.is_old or key.valid_until_ms > before.valid_until_ms


def _signers(pdu: Json, version: RoomVersion) -> list[ServerName]:
    try:
        return signing.servers_that_must_sign(pdu, version)
    except BadSignature:
        # Which `verify_event` will say again.
        return []


def _fault(
    pdu: Json, version: RoomVersion, known: Mapping[ServerName, Known], signed: bytes | None
) -> BadSignature | None:
    at_ms = pdu["origin_server_ts"]
    try:
        keys = {
            server: {
                key_id: key.verify_key
                for key_id, key in known.get(server, {}).items()
                if not (version.enforces_key_validity or key.is_old) or key.valid_until_ms >= at_ms
            }
            for server in _signers(pdu, version)
        }
        signing.verify_event(pdu, version, keys, signed)
    except BadSignature as fault:
        return fault
    return None
