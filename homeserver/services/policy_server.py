"""This server as a policy server: it signs what its rules have nothing against, for rooms that ask it to.

A room asks by naming this server and its key in `m.room.policy`, and by having a user of ours in it. The key is not the
one that signs for this server: with it nobody can send anything.

What is signed is the event without most of its content, which the hash in it stands for. So an event whose hash is not
that of the content we have seen is never signed.

Source: server-server API, "Policy Servers", POST /_matrix/policy/v1/sign.
"""

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from homeserver.runtime.metrics import Metrics
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.policy_rules import Matcher, PolicyRules
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from matrix import unpadded_base64
from matrix.errors import BadEvent, BadRequest, Forbidden, LimitExceeded, NotFound
from matrix.event_format import parse_pdu
from matrix.events import Event, Json
from matrix.hashing import check_content_hash, essential_bytes
from matrix.ids import RoomId, ServerName
from matrix.policy_server import KEY_ID, NAMED_BY, is_exempt, policy_in
from matrix.power_levels import PowerLevels
from matrix.room_versions import ROOM_VERSIONS
from matrix.signing import SigningKey

_CREATE, _LEVELS = ("m.room.create", ""), ("m.room.power_levels", "")

# May the server act in the room, by the room's access control list?
MayAct = Callable[[ServerName, RoomId], Awaitable[bool]]


@frozen(kw_only=True)
class PolicySettings:
    """`rooms`: those to sign for, None for all that ask. `exempt_level`: from this power on no rule holds.

    `limit`: events by sender.
    """

    rules: PolicyRules
    rooms: Sequence[Matcher] | None
    exempt_level: int | None
    limit: RateLimit | None


class PolicyServer:
    def __init__(
        self,
        *,
        settings: PolicySettings,
        key: SigningKey,
        server_name: ServerName,
        heads: Heads,
        members: Members,
        may_act: MayAct,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._key = key
        self._server_name = server_name
        self._heads = heads
        self._members = members
        self._may_act = may_act
        self._signed = metrics.counter("policy_events", "Events that rooms have asked to be signed", ["outcome"])

    @property
    def public_keys(self) -> dict[str, str]:
        return {"ed25519": unpadded_base64.encode(bytes(self._key.verify_key))}

    async def answer(self, origin: ServerName, pdu: Json) -> Json:
        """The signature of an event that another server asks for. Raises: BadRequest, Forbidden, NotFound."""
        room_id = pdu.get("room_id")
        room = await self._heads.find_room(RoomId(room_id)) if isinstance(room_id, str) else None
        if room is None or not await self._is_ours(room.room_id):
            raise NotFound("Unknown room")
        if not await self._may_act(origin, room.room_id):
            raise Forbidden("Your server is not allowed to request a signature.")
        try:
            event = parse_pdu(pdu, ROOM_VERSIONS[room.version])
        except BadEvent as error:
            raise BadRequest(str(error)) from error
        if is_exempt(event.type, event.state_key):
            raise BadRequest("The room's policy itself is not signed")
        return {self._server_name: {KEY_ID: await self.sign(event)}}

    async def sign(self, event: Event) -> str:
        """The signature. Raises: BadRequest, if the event is not wanted."""
        if not check_content_hash(event.pdu, event.version):
            raise BadRequest("The event is not the one that its hash is of")
        refusal = await self._refusal(event)
        self._signed.labels("refused" if refusal else "signed").inc()
        if refusal is not None:
            # "`M_FORBIDDEN` - The Policy Server refuses to sign the event": with 400.
            raise BadRequest(refusal, "M_FORBIDDEN")
        return unpadded_base64.encode(self._key.sign(essential_bytes(event.pdu, event.version)))

    async def _refusal(self, event: Event) -> str | None:
        refusal = self._settings.rules.refusal(event)
        if refusal is None and self._settings.limit is not None:
            try:
                self._settings.limit.take((event.room_id, event.sender))
            except LimitExceeded:
                refusal = "Too many events: wait a little"
        if refusal is not None and await self._is_powerful(event):
            return None
        return refusal

    async def _is_powerful(self, event: Event) -> bool:
        """Who moderates the room is above the rules."""
        least = self._settings.exempt_level
        if least is None:
            return False
        head = await self._heads.get(event.room_id)
        state = await self._heads.state_events(head, [_CREATE, _LEVELS])
        levels = state.get(_LEVELS)
        of = PowerLevels.of(head.version, state[_CREATE].event, None if levels is None else levels.event)
        return of.of_user(event.sender) >= least

    async def _is_ours(self, room_id: RoomId) -> bool:
        """Does the room name us and our key, have we a user in it, and do we sign for it at all?"""
        rooms = self._settings.rooms
        if rooms is not None and not any(matches(room_id.lower()) for matches in rooms):
            return False
        head = await self._heads.get(room_id)
        state = await self._heads.state_events(head, NAMED_BY)
        policy = policy_in({key: stored.event.content for key, stored in state.items()})
        if policy is None or policy.via != self._server_name or policy.key != self._key.verify_key:
            return False
        return any(user.domain == self._server_name for user in await self._members.joined(head.room_nid))
