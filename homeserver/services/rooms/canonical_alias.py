"""A room's m.room.canonical_alias: which aliases it newly names, and what is left of it when an alias goes.

Source: client-server API, `m.room.canonical_alias`.
"""

from collections.abc import Sequence
from contextlib import suppress

from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.web.call import Requester
from matrix.errors import Forbidden, InvalidParam
from matrix.events import Json
from matrix.ids import BadIdentifier, RoomAlias, RoomId

CANONICAL = "m.room.canonical_alias"


def new_aliases(content: Json, old: Json) -> list[RoomAlias]:
    """The aliases that stand in the content but not in the old one. Raises: InvalidParam."""
    alias, alternatives, before = content.get("alias"), content.get("alt_aliases", []), old.get("alt_aliases")
    if not isinstance(alternatives, list):
        raise InvalidParam("alt_aliases must be a list")
    known = before if isinstance(before, list) else []
    named = [one for one in alternatives if one not in known]
    if alias is not None and alias != "" and alias != old.get("alias"):
        named.append(alias)
    return [_parse(one) for one in named]


def _parse(alias: object) -> RoomAlias:
    if not isinstance(alias, str):
        raise InvalidParam("An alias must be a string")
    try:
        return RoomAlias.parse(alias)
    except BadIdentifier as error:
        raise InvalidParam(str(error)) from error


def without_alias(content: Json, alias: str) -> Json | None:
    """The content without the alias; None if it does not name it."""
    alternatives = content.get("alt_aliases")
    is_alternative = isinstance(alternatives, list) and alias in alternatives
    if content.get("alias") != alias and not is_alternative:
        return None
    left = {key: value for key, value in content.items() if key != "alias" or value != alias}
    if isinstance(alternatives, list):
        left["alt_aliases"] = [one for one in alternatives if one != alias]
        if not left["alt_aliases"]:
            del left["alt_aliases"]
    return left


class CanonicalAlias:
    """Keeps a room's canonical alias event true when an alias goes."""

    def __init__(self, *, intake: Intake, heads: Heads) -> None:
        self._intake = intake
        self._heads = heads

    async def forget(self, requester: Requester, room_id: RoomId, alias: RoomAlias) -> None:
        """Takes the alias out of the event. If the user may not, it stays: the alias itself is gone all the same."""

        async def decide(head: Head) -> Sequence[NewEvent]:
            event = await self._heads.state_event(head, CANONICAL)
            content = None if event is None else without_alias(event.event.content, alias)
            if content is None:
                return []
            return [NewEvent(type=CANONICAL, sender=requester.user_id, state_key="", content=content)]

        with suppress(Forbidden):
            await self._intake.send(room_id, decide)
