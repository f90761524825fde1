"""Upload cross-signing keys and signatures.

Source: client-server API, "Cross-signing".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from homeserver.runtime.linearizer import Linearizer
from homeserver.services.e2ee import shapes
from homeserver.services.e2ee.seams import Commit, InThread, IsLocal, Json, NoFederation, RemoteKeys
from homeserver.services.e2ee.shapes import CrossSigningKey
from homeserver.services.e2ee.signature_checks import NewSignature, check_uploaded
from homeserver.services.e2ee.user_keys import UserKeys
from matrix import signing
from matrix.errors import BadRequest, BadSignature, Forbidden, InvalidParam, MissingParam
from matrix.ids import BadIdentifier, UserId
from storage import cross_signing, device_keys, device_lists
from storage.change import Change
from storage.database import Database
from storage.device_keys import PublishedKeys

USAGES = ("master", "self_signing", "user_signing")
# 42 us each: more would hold up the reactor for longer than 5 ms.
CHECKS_AT_ONCE = 100
# How long another server may take to tell the master key that one of our users has signed.
REMOTE_TIMEOUT_MS = 10_000

Confirm = Callable[[], Awaitable[None]]


class CrossSigning:
    """`in_thread` takes what is too much to compute in the reactor."""

    def __init__(
        self,
        *,
        database: Database,
        commit: Commit,
        user_keys: UserKeys,
        is_local: IsLocal,
        in_thread: InThread,
        remote: RemoteKeys | None = None,
    ) -> None:
        self._database = database
        self._commit = commit
        self._user_keys = user_keys
        self._is_local = is_local
        self._in_thread = in_thread
        self._remote = remote or NoFederation()
        self._uploads = Linearizer()

    async def upload(self, user_id: UserId, body: Mapping[str, Any], confirm: Confirm) -> None:
        """Publishes the user's cross-signing keys.

        `confirm` is awaited where the user must authenticate again: when there is a master key, and any key in the
        body is not the one that is there. Uploading the same keys once more changes nothing.

        Raises: BadRequest M_INVALID_PARAM, M_INVALID_SIGNATURE, M_MISSING_PARAM; Forbidden; what `confirm` raises.
        """
        uploaded = {usage: body[f"{usage}_key"] for usage in USAGES if body.get(f"{usage}_key") is not None}
        async with self._uploads.of(user_id):
            stored = await self._database.read(cross_signing.find_cross_signing_keys, user_id)
            if not uploaded and "master" not in stored:
                raise MissingParam("master_key")
            new = {usage: raw for usage, raw in uploaded.items() if stored.get(usage) != raw}
            if not new:
                return
            if "master" in stored:
                await confirm()
            keys = _check_keys(user_id, new, stored)
            names = [key.public for key in keys.values()]
            if await self._database.read(device_keys.device_ids_among, user_id, names):
                raise Forbidden("Key ID in use")
            await self._commit(_replace(user_id, keys, stored))

    async def upload_signatures(self, signer: UserId, body: Mapping[str, Any]) -> Json:
        """Publishes signatures of keys; gives the failures, by user and key.

        Raises: InvalidParam for what is not a map of users to keys.
        """
        uploaded = _read_signatures(body)
        published = await self._published([signer, *uploaded])

        def check() -> Any:
            return check_uploaded(signer, uploaded, published)

        many = sum(map(len, uploaded.values())) > CHECKS_AT_ONCE
        outcome = await self._in_thread(check) if many else check()
        if outcome.good:
            await self._commit(_put_signatures(signer, outcome.good, published[signer]))
        return dict(outcome.failures)

    async def _published(self, user_ids: list[UserId]) -> dict[str, PublishedKeys]:
        """The keys of the users; of those of other servers only the master key."""
        found = await self._user_keys.of([user_id for user_id in user_ids if self._is_local(user_id.domain)])
        elsewhere: dict[UserId, list[str]] = {user_id: [] for user_id in user_ids if user_id not in found}
        if elsewhere:
            remote = await self._remote.query(elsewhere, REMOTE_TIMEOUT_MS)
            for user_id in elsewhere:
                master = remote.master_keys.get(user_id)
                found[user_id] = PublishedKeys(cross_signing={} if master is None else {"master": master})
        return found


def _check_keys(user_id: UserId, new: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, CrossSigningKey]:
    """The new keys by usage; all but the master key must be signed by the master key."""
    keys = {usage: shapes.read_cross_signing_key(raw, user_id, usage) for usage, raw in new.items()}
    master = keys.get("master")
    if master is None:
        if "master" not in stored:
            raise MissingParam("master_key")
        master = shapes.read_cross_signing_key(stored["master"], user_id, "master")
    for usage, key in keys.items():
        if usage != "master":
            try:
                signing.verify_json(key.raw, user_id, master.key_id, master.verify_key)
            except BadSignature as error:
                raise BadRequest(f"Invalid signature on {usage} key", "M_INVALID_SIGNATURE") from error
    return keys


def _replace(user_id: str, keys: Mapping[str, CrossSigningKey], stored: Mapping[str, Json]) -> Change:
    change = Change()
    for usage, key in keys.items():
        change.put(cross_signing.PUT, (user_id, usage, key.key_id, orjson.dumps(key.raw).decode()))
        for old in stored.get(usage, {}).get("keys", {}):
            if old != key.key_id:
                change.put(cross_signing.DELETE_SIGNATURES, (user_id, old, old.partition(":")[2]))
    if keys.keys() - {"user_signing"}:
        device_lists.record(change, user_id, {"cross_signing": True})
    if "user_signing" in keys:
        device_lists.record_signed(change, user_id, [user_id])
    return change


def _read_signatures(body: Mapping[str, Any]) -> dict[UserId, Json]:
    uploaded = {}
    for user_id, keys in body.items():
        if not isinstance(keys, dict) or not all(isinstance(key, dict) for key in keys.values()):
            raise InvalidParam("The body must map users to keys to signed objects")
        try:
            uploaded[UserId.parse(user_id)] = keys
        except BadIdentifier as error:
            raise InvalidParam(str(error)) from error
    return uploaded


def _put_signatures(signer: str, good: list[NewSignature], own: PublishedKeys) -> Change:
    """Everybody hears of signatures of own keys; those of others' keys are told to the signer alone."""
    change = Change()
    own_targets, others = [], []
    for new in good:
        change.put(
            cross_signing.PUT_SIGNATURE, (new.target_user_id, new.target, signer, new.signer_key_id, new.signature)
        )
        if new.target_user_id == signer:
            own_targets.append(new.target)
        else:
            others.append(new.target_user_id)
    for target in dict.fromkeys(own_targets):
        body = {"device_id": target} if target in own.devices else {"cross_signing": True}
        device_lists.record(change, signer, body)
    if others:
        device_lists.record_signed(change, signer, others)
    return change
