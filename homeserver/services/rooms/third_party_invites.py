"""Inviting people of whom only an address is known.

An identity server is asked whose address it is. If it knows nobody, it keeps the invite for whoever proves to own the
address, and the room has an m.room.third_party_invite with the keys by which that will be shown.

Source: client-server API, "Third-party invites".
"""

from typing import Any

from attrs import frozen

from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.sending import Outgoing, Sending
from homeserver.services.users.identity_servers import IdentityServers
from homeserver.web.call import Requester
from matrix.errors import Forbidden, MatrixError
from matrix.events import Json, StateKey
from matrix.ids import RoomId
from storage.events import StoredEvent

INVITE = "m.room.third_party_invite"
MAX_KEYS = 10
# What the identity server may put into its mail: the member of its request, where it is in the room's state.
_TOLD = {
    "room_name": ("m.room.name", "name"),
    "room_alias": ("m.room.canonical_alias", "alias"),
    "room_avatar_url": ("m.room.avatar", "url"),
    "room_join_rules": ("m.room.join_rules", "join_rule"),
    "room_type": ("m.room.create", "type"),
}


@frozen(kw_only=True)
class Invitee:
    medium: str
    address: str
    id_server: str
    id_access_token: str


class ThirdPartyInvites:
    """`may_look_up`: the operator's enable_3pid_lookup. `limit`: rc_third_party_invite, by user."""

    def __init__(
        self,
        *,
        identity_servers: IdentityServers,
        membership: Membership,
        sending: Sending,
        heads: Heads,
        limit: RateLimit,
        may_look_up: bool = True,
    ) -> None:
        self._identity_servers = identity_servers
        self._membership = membership
        self._sending = sending
        self._heads = heads
        self._limit = limit
        self._may_look_up = may_look_up

    async def invite(self, requester: Requester, room_id: RoomId, invitee: Invitee, added: Json | None = None) -> None:
        """Raises: MatrixError, also the identity server's own."""
        if not self._may_look_up:
            raise Forbidden("Nobody is looked up by address here", "M_THREEPID_DENIED")
        self._limit.take(requester.limit_key)
        server, token = invitee.id_server, invitee.id_access_token
        user_id = await self._identity_servers.look_up(server, token, invitee.medium, invitee.address)
        if user_id is not None:
            await self._membership.invite(requester, room_id, user_id, added=added or {})
            return
        # Before anybody outside hears of the room.
        told = await self._told(requester, room_id)
        kept = await self._identity_servers.store_invite(
            server,
            token,
            {
                "medium": invitee.medium,
                "address": invitee.address,
                "room_id": room_id,
                "sender": requester.user_id,
                **told,
            },
        )
        state_key, content = _read(server, kept)
        await self._sending.put_state(requester, room_id, Outgoing(type=INVITE, content=content), state_key)

    async def _told(self, requester: Requester, room_id: RoomId) -> dict[str, str]:
        """What the mail may say. Raises: Forbidden unless the requester is in the room."""
        head = await self._heads.get(room_id)
        own: StateKey = ("m.room.member", requester.user_id)
        keys = [own, *((event_type, "") for event_type, _ in _TOLD.values())]
        state = await self._heads.state_events(head, keys)
        if own not in state or state[own].event.membership != "join":
            raise Forbidden("You are not in this room")
        wanted: dict[str, tuple[StateKey, str]] = {name: ((kind, ""), key) for name, (kind, key) in _TOLD.items()}
        wanted |= {"sender_display_name": (own, "displayname"), "sender_avatar_url": (own, "avatar_url")}
        texts = {name: _text(state.get(key), member) for name, (key, member) in wanted.items()}
        return {name: text for name, text in texts.items() if text is not None}


def _text(stored: StoredEvent | None, member: str) -> str | None:
    value = None if stored is None else stored.event.content.get(member)
    return value if isinstance(value, str) else None


def _read(server: str, kept: dict[str, Any]) -> tuple[str, Json]:
    """The state key and content of the event. Raises: MatrixError if the identity server's answer makes none."""
    token, name, keys = kept.get("token"), kept.get("display_name"), kept.get("public_keys")
    keys = [_read_key(server, key) for key in keys[:MAX_KEYS]] if isinstance(keys, list) else []
    if not isinstance(token, str) or not 0 < len(token) <= 255 or not isinstance(name, str) or None in keys or not keys:
        raise MatrixError(502, "M_UNKNOWN", f"The identity server {server} gave no usable answer")
    return token, {
        "display_name": name,
        "public_keys": keys,
        "public_key": keys[0]["public_key"],
        "key_validity_url": keys[0].get("key_validity_url", f"https://{server}/_matrix/identity/v2/pubkey/isvalid"),
    }


def _read_key(server: str, key: Any) -> dict[str, str] | None:
    if not isinstance(key, dict) or not isinstance(key.get("public_key"), str):
        return None
    read: dict[str, str] = {"public_key": key["public_key"]}
    if isinstance(url := key.get("key_validity_url"), str):
        read["key_validity_url"] = url
    return read
