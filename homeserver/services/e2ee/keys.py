"""Upload, query and claim keys of devices.

Source: client-server API, "Key management API".
"""

from collections.abc import Collection, Mapping
from typing import Any

import orjson
from attrs import evolve

from homeserver.runtime.caches import Lru
from homeserver.runtime.linearizer import Linearizer
from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.seams import Commit, IsLocal, Json, NoFederation, NoServices, RemoteKeys, ServiceKeys
from homeserver.services.e2ee.shapes import NewKey
from homeserver.services.e2ee.user_keys import UserKeys
from matrix.errors import BadRequest, InvalidParam, TooLarge
from matrix.ids import UserId
from storage import device_keys, device_lists, one_time_keys
from storage.change import Change, Entry, Kind
from storage.database import Database
from storage.device_keys import PublishedKeys, Uploaded
from storage.one_time_keys import Available, Counts, Key, Slot
from storage.remote_devices import RemoteKeys as RemoteDeviceKeys

# As many as vodozemac, the largest hoarder, keeps the private halves of. Clients upload 50 or 100 at a time.
MAX_ONE_TIME_KEYS = 5_000
# Whoever shares a room with the device is sent its keys again and again. Real ones have some 1,000 bytes.
MAX_KEY_BYTES = 65536
# An answer without this count would be read as "the server does not tell", and the client would upload nothing.
_ALWAYS_COUNTED = {"signed_curve25519": 0}
MAX_CACHED_COUNTS = 50_000


class Keys:
    """`remote` asks other servers for the keys of their users; without it they count as unreachable. `services` asks
    application services."""

    def __init__(
        self,
        *,
        database: Database,
        commit: Commit,
        user_keys: UserKeys,
        is_local: IsLocal,
        remote: RemoteKeys | None = None,
        services: ServiceKeys | None = None,
    ) -> None:
        self._database = database
        self._commit = commit
        self._user_keys = user_keys
        self._is_local = is_local
        self._remote = remote or NoFederation()
        self._services = services or NoServices()
        self._uploads = Linearizer()
        self._counts: Lru[tuple[str, str], Counts] = Lru("one_time_key_counts", MAX_CACHED_COUNTS)

    async def upload(self, user_id: UserId, device_id: str, body: Mapping[str, Any]) -> dict[str, int]:
        """Publishes keys of the device; gives how many one-time keys it has by algorithm.

        Raises: BadRequest, also when a one-time key is there already with another content.
        """
        identity = None
        if "device_keys" in body:
            identity = shapes.read_device_keys(body["device_keys"], user_id, device_id)
        new = shapes.read_new_keys(body.get("one_time_keys"), "one_time_keys")
        fallback = shapes.read_new_keys(body.get("fallback_keys"), "fallback_keys")
        async with self._uploads.of((user_id, device_id)):
            if identity or new or fallback:
                known = await self._database.run(
                    device_keys.find_uploaded, user_id, device_id, [key.key_id for key in new]
                )
                new = _fresh(new, known)
                if new and len(new) + sum((await self.counts(user_id, device_id))[0].values()) > MAX_ONE_TIME_KEYS:
                    raise InvalidParam(f"A device can have no more than {MAX_ONE_TIME_KEYS} one-time keys")
                change = _upload(user_id, device_id, identity, (new, fallback), known)
                if change.rows:
                    await self._commit(change)
        return (await self.counts(user_id, device_id))[0]

    async def counts(self, user_id: str, device_id: str) -> tuple[dict[str, int], list[str]]:
        """How many one-time keys are left by algorithm, and the algorithms whose fallback key is unused. Cached."""
        found = self._counts.get((user_id, device_id))
        if found is None:
            version = self._counts.version
            found = await self._database.read(one_time_keys.find_counts, user_id, device_id)
            self._counts.set_if_unchanged((user_id, device_id), found, version)
        return {**_ALWAYS_COUNTED, **found.one_time}, list(found.unused_fallback)

    async def query(self, reader: UserId, wanted: Mapping[UserId, Collection[str]], timeout_ms: int) -> Json:
        """The answer to /keys/query, as `reader` may see it."""
        local = {user_id: devices for user_id, devices in wanted.items() if self._is_local(user_id.domain)}
        answer = await self.query_local(local, reader)
        answer["failures"] = {}
        if elsewhere := {user_id: list(wanted[user_id]) for user_id in wanted.keys() - local.keys()}:
            remote = await self._remote.query(elsewhere, timeout_ms)
            answer["device_keys"] |= remote.device_keys
            answer["master_keys"] |= remote.master_keys
            answer["self_signing_keys"] |= remote.self_signing_keys
            answer["failures"] = remote.failures
        by_reader = (await self._user_keys.of([reader]))[reader].signed
        for user_id, master in answer["master_keys"].items():
            if user_id in by_reader:
                answer["master_keys"][user_id] = _with_signatures_of(reader, master, by_reader[user_id])
        return answer

    async def query_local(
        self, wanted: Mapping[UserId, Collection[str]], reader: UserId | None = None, *, with_names: bool = True
    ) -> Json:
        """The keys of local users without signatures by others. Devices are ready JSON (`orjson.Fragment`)."""
        found = await self.published(wanted)
        answer: Json = {"device_keys": {}, "master_keys": {}, "self_signing_keys": {}, "user_signing_keys": {}}
        for user_id, devices in wanted.items():
            keys, user = found[user_id], str(user_id)
            answer["device_keys"][user] = _devices(keys, devices, with_names)
            for usage, key in keys.cross_signing.items():
                # Whom a user has verified is nobody else's business.
                if usage != "user_signing" or user_id == reader:
                    answer[f"{usage}_keys"][user] = key
        return answer

    async def published(self, wanted: Mapping[UserId, Collection[str]]) -> dict[str, PublishedKeys]:
        """What local users show; what a service tells of its users goes before what was uploaded. No devices: all."""
        told = await self._services.query(wanted)
        return _all_with_told(await self._user_keys.of(wanted), told)

    async def known(self, user_ids: Collection[str]) -> dict[str, PublishedKeys]:
        """The same as far as services have told before: none is asked."""
        return _all_with_told(await self._user_keys.of(user_ids), await self._services.last_told(user_ids))

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]], timeout_ms: int) -> Json:
        """The answer to /keys/claim: for each device a key that nobody else gets, or its fallback key."""
        local = {user_id: devices for user_id, devices in wanted.items() if self._is_local(user_id.domain)}
        answer: Json = {"one_time_keys": await self.claim_local(local), "failures": {}}
        if elsewhere := {user_id: wanted[user_id] for user_id in wanted.keys() - local.keys()}:
            remote = await self._remote.claim(elsewhere, timeout_ms)
            answer["one_time_keys"] |= remote.one_time_keys
            answer["failures"] = remote.failures
        return answer

    async def claim_local(self, wanted: Mapping[UserId, Mapping[str, str]]) -> Json:
        """The keys taken, by user, device, and `<algorithm>:<key_id>`, as ready JSON. Nobody can get them again."""
        slots = [
            Slot(user_id, device_id, algorithm)
            for user_id, devices in wanted.items()
            for device_id, algorithm in devices.items()
        ]
        available = await self._database.read(one_time_keys.find_available, slots) if slots else {}
        # Before a fallback key is used. Source: MSC3983.
        answer = await self._services.claim(_not_uploaded(wanted, available))
        left = {slot: have for slot, have in available.items() if slot.device_id not in answer.get(slot.user_id, ())}
        for slot, key in (await self._take(left)).items():
            devices = answer.setdefault(str(slot.user_id), {})
            devices[slot.device_id] = {f"{key.algorithm}:{key.key_id}": orjson.Fragment(key.text)}
        return answer

    async def _take(self, available: Mapping[Slot, Available]) -> dict[Slot, Key]:
        taken: dict[Slot, Key] = {}
        change = Change()
        to_take = []
        for slot, have in available.items():
            if have.one_time or not have.fallback_used:
                to_take.append(slot)
            elif have.fallback is not None:
                # Used before: nothing changes by using it again.
                taken[slot] = have.fallback
        if to_take:
            for user_id in {slot.user_id for slot in to_take}:
                _announce_counts(change, user_id, [slot.device_id for slot in to_take if slot.user_id == user_id])
            taken |= await self._commit(change.run(lambda cur: one_time_keys.take(cur, to_take)))
        return taken

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.KEY_COUNTS and entry.user_id is not None:
                for device_id in entry.body["device_ids"]:
                    self._counts.invalidate((entry.user_id, device_id))
            elif entry.kind is Kind.DEVICE_LIST and entry.user_id is not None and entry.body.get("deleted"):
                self._counts.invalidate((entry.user_id, entry.body["device_id"]))


def _fresh(new: list[NewKey], known: Uploaded) -> list[NewKey]:
    """Those one-time keys that are not there yet. Raises: BadRequest for one that is there with another content."""
    fresh = []
    for key in new:
        text = known.one_time_keys.get((key.algorithm, key.key_id))
        if text is None:
            fresh.append(key)
        elif not shapes.is_same_key(orjson.loads(text), key.value):
            # Synapse's errcode; clients look at the text of the message, which begins like this.
            raise BadRequest(f"One time key {key.algorithm}:{key.key_id} already exists", "M_UNKNOWN")
    return fresh


def _upload(
    user_id: str, device_id: str, identity: Json | None, keys: tuple[list[NewKey], list[NewKey]], known: Uploaded
) -> Change:
    """What is new in an upload. The same fallback key again is no new one: it stays used."""
    change = Change()
    if identity is not None and identity != known.device_keys:
        change.put(device_keys.PUT, (user_id, device_id, _text(identity)))
        if known.device_keys is not None:
            change.put(device_keys.DELETE_SIGNATURES_OF, (user_id, device_id))
        device_lists.record(change, user_id, {"device_id": device_id})
    new, fallback = keys
    fallback = [key for key in fallback if known.fallback_keys.get(key.algorithm) != (key.key_id, key.value)]
    for statement, uploaded in ((one_time_keys.ADD, new), (one_time_keys.PUT_FALLBACK, fallback)):
        for key in uploaded:
            change.put(statement, (user_id, device_id, key.algorithm, key.key_id, _text(key.value)))
    if new or fallback:
        _announce_counts(change, user_id, [device_id])
    return change


def _announce_counts(change: Change, user_id: str, device_ids: list[str]) -> None:
    change.announce(Entry(kind=Kind.KEY_COUNTS, user_id=user_id, body={"device_ids": device_ids}))


def _text(value: Any) -> str:
    text = orjson.dumps(value)
    if len(text) > MAX_KEY_BYTES:
        raise TooLarge(f"A key can have no more than {MAX_KEY_BYTES} bytes")
    return text.decode()


def _devices(keys: PublishedKeys, device_ids: Collection[str], with_names: bool) -> Json:
    chosen = keys.devices.keys() & set(device_ids) if device_ids else keys.devices.keys()
    if with_names:
        return {device_id: orjson.Fragment(keys.devices[device_id]) for device_id in chosen}
    return {device_id: {**orjson.loads(keys.devices[device_id]), "unsigned": {}} for device_id in chosen}


def _not_uploaded(
    wanted: Mapping[UserId, Mapping[str, str]], available: Mapping[Slot, Available]
) -> dict[UserId, dict[str, str]]:
    """What is wanted, and there is no one-time key of."""
    had = {slot for slot, have in available.items() if have.one_time}
    missing = {
        user_id: {each: name for each, name in devices.items() if Slot(user_id, each, name) not in had}
        for user_id, devices in wanted.items()
    }
    return {user_id: devices for user_id, devices in missing.items() if devices}


def _all_with_told(
    found: Mapping[str, PublishedKeys], told: Mapping[str, RemoteDeviceKeys]
) -> dict[str, PublishedKeys]:
    return {**found, **{user_id: _with_told(found[user_id], keys) for user_id, keys in told.items()}}


def _with_told(keys: PublishedKeys, told: RemoteDeviceKeys) -> PublishedKeys:
    """The keys with those that a service tells in their place."""
    devices = {device_id: orjson.dumps(device) for device_id, device in told.devices.items()}
    cross_signing = keys.cross_signing
    if told.master is not None:
        kept = {usage: key for usage, key in cross_signing.items() if usage not in ("master", "self_signing")}
        own = {} if told.self_signing is None else {"self_signing": told.self_signing}
        cross_signing = {**kept, "master": told.master, **own}
    return evolve(keys, devices={**keys.devices, **devices}, cross_signing=cross_signing)


def _with_signatures_of(reader: str, master: Json, by_reader: Mapping[str, dict[str, str]]) -> Json:
    """The master key with the reader's signatures of it: what the reader's user-signing key said of another user."""
    added: dict[str, str] = {}
    for key_id in master.get("keys", {}):
        added |= by_reader.get(key_id.partition(":")[2], {})
    signatures = master.get("signatures", {})
    return {**master, "signatures": {**signatures, str(reader): {**signatures.get(reader, {}), **added}}}
