"""A user's pushers: listed, set and removed.

Source: client-server API, "Push Notifications".
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.services.users.address_checks import canonical
from homeserver.web.call import Requester
from matrix.errors import BadRequest, InvalidParam
from matrix.ids import UserId
from storage import mail_throttles, threepids
from storage import pushers as rows
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.mail_throttles import Throttle
from storage.pushers import Pusher

# "Max length, 64 chars", "Max length, 512 bytes".
MAX_APP_ID_CHARACTERS, MAX_PUSHKEY_BYTES = 64, 512
# Synapse has no limit; this is one for each app on each of very many devices.
MAX_PUSHERS = 100
MAX_DATA_BYTES = 16_384
NOTIFY_PATH = "/_matrix/push/v1/notify"
HTTP, MAIL = "http", "email"
# Of the pushers that mails go by; clients set them under the same name.
MAIL_APP = "m.email"


@frozen(kw_only=True)
class NewPusher:
    """What a client sets. `append`: other users' pushers for the same device stay."""

    app_id: str
    pushkey: str
    kind: str
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: dict[str, Any]
    append: bool = False
    enabled: bool = True


class Pushers:
    """`sends_mails`: there may be pushers of kind email."""

    def __init__(self, *, database: Database, commit: Committer, clock: Clock, sends_mails: bool = False) -> None:
        self._sends_mails = sends_mails
        self._database = database
        self._commit = commit
        self._clock = clock

    async def list_of(self, user_id: UserId) -> list[Pusher]:
        return await self._database.read(rows.pushers_of, user_id)

    async def list_of_shards(self, shards: Sequence[int]) -> list[Pusher]:
        return await self._database.read(rows.pushers_of_shards, shards)

    async def rooms_to_look_at(self, pusher_ids: Sequence[int]) -> dict[int, list[int]]:
        """Of each pusher the rooms of its user in which something came that it has not looked at."""
        return await self._database.read(rows.rooms_to_look_at, pusher_ids)

    async def have_sent(self, positions: dict[int, int]) -> None:
        """Up to these positions everything was sent, by pusher."""
        await self._database.run(rows.move, positions)

    async def set(self, requester: Requester, new: NewPusher) -> None:
        """Makes a pusher or replaces what is known of it. Raises: BadRequest."""
        check_key(new.app_id, new.pushkey)
        if new.kind == MAIL and self._sends_mails:
            await self._check_address(requester.user_id, new.pushkey)
        else:
            _check_data(new)
        user_id, known = requester.user_id, await self.list_of(requester.user_id)
        is_known = any((one.app_id, one.pushkey) == (new.app_id, new.pushkey) for one in known)
        if len(known) >= MAX_PUSHERS and not is_known:
            raise BadRequest("Too many pushers", "M_UNKNOWN")
        change = Change()
        at = change.announce(_entry(user_id, None if new.append else (new.app_id, new.pushkey)))
        if not new.append:
            change.put(rows.DELETE_OF_OTHERS, (user_id, new.app_id, new.pushkey))
        # Mails are the user's, whatever becomes of the device that asked for them.
        device_id = None if new.kind == MAIL else requester.device_id
        row = (
            *(user_id, new.app_id, new.pushkey, new.kind, device_id),
            requester.token_id if device_id is None and new.kind != MAIL else None,
            *(new.app_display_name, new.device_display_name, new.profile_tag, new.lang),
            *(orjson.dumps(new.data).decode(), new.enabled, self._clock.now_ms(), rows.shard_of(user_id), at),
        )
        await self._commit(change.put(rows.PUT, row))

    async def add_mails(self, user_id: UserId, address: str) -> None:
        """The user's unread messages are told to this address, which is theirs."""
        new = NewPusher(
            app_id=MAIL_APP,
            pushkey=address,
            kind=MAIL,
            app_display_name="Email Notifications",
            device_display_name=address,
            profile_tag=None,
            lang="en",
            data={},
        )
        await self.set(Requester(user_id), new)

    async def end_mails(self, user_id: UserId, address: str | None = None) -> None:
        """To an address that is the user's no more; to all of them if None."""
        for pusher in await self.list_of(user_id):
            if pusher.kind == MAIL and address in (None, canonical(pusher.pushkey)):
                await self.remove(user_id, pusher.app_id, pusher.pushkey)

    async def has_address(self, pusher: Pusher) -> bool:
        """Is the address that mails go to the user's?"""
        return await self._database.read(threepids.find_owner, "email", canonical(pusher.pushkey)) == pusher.user_id

    async def throttles_of(self, pusher_ids: Sequence[int]) -> dict[int, dict[int, Throttle]]:
        """Of mails, by pusher and room."""
        return await self._database.read(mail_throttles.find_throttles, pusher_ids)

    async def have_mailed(self, pusher: Pusher, position: int, throttles: Mapping[int, Throttle]) -> None:
        """Up to the position everything was told, and these rooms in a mail."""
        await self._database.run(mail_throttles.have_mailed, pusher.pusher_id, position, throttles)

    async def _check_address(self, user_id: UserId, address: str) -> None:
        """Raises: BadRequest. As Synapse."""
        if await self._database.read(threepids.find_owner, "email", canonical(address)) != user_id:
            raise BadRequest("This is no address of yours", "M_THREEPID_NOT_FOUND")

    async def remove(self, user_id: UserId, app_id: str, pushkey: str) -> None:
        """If there is such a one."""
        change = Change().put(rows.DELETE, (user_id, app_id, pushkey))
        change.announce(_entry(user_id, None))
        await self._commit(change)


def _entry(user_id: UserId, taken: tuple[str, str] | None) -> Entry:
    """Tells the processes that the user's pushers changed; `taken` are app id and key of what others lost."""
    return Entry(Kind.CACHE, user_id=user_id, body={"pushers": list(taken) if taken else True})


def check_key(app_id: str, pushkey: str) -> None:
    """Raises: InvalidParam."""
    if len(app_id) > MAX_APP_ID_CHARACTERS:
        raise InvalidParam(f"app_id has more than {MAX_APP_ID_CHARACTERS} characters")
    if len(pushkey.encode()) > MAX_PUSHKEY_BYTES:
        raise InvalidParam(f"pushkey has more than {MAX_PUSHKEY_BYTES} bytes")


def _check_data(new: NewPusher) -> None:
    """The URL must be a push gateway's, so that nobody makes us post to what is none.

    Plain HTTP is taken, as Synapse does: a gateway may be a neighbour of ours.
    """
    if len(orjson.dumps(new.data)) > MAX_DATA_BYTES:
        raise InvalidParam("data is too large")
    if new.kind != HTTP:
        raise InvalidParam("There are no pushers of this kind here")
    url = new.data.get("url")
    if not isinstance(url, str):
        raise InvalidParam("data.url is required for pushers of kind http")
    try:
        parts = urlsplit(url)
        is_gateway = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path == NOTIFY_PATH
    except ValueError:
        is_gateway = False
    if not is_gateway:
        raise InvalidParam(f"data.url must be an HTTPS URL with the path {NOTIFY_PATH}")
