"""What a push gateway is told, and telling it.

Source: push gateway API, "Homeserver behaviour".
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from homeserver.services.rooms.heads import Heads
from homeserver.web.agent import Bounds, Fetched, FetchFailed, OutgoingHttp
from matrix.errors import NotFound
from matrix.events import StateKey
from matrix.push_eval import Actions
from storage.events import StoredEvent
from storage.pushers import Pusher

_BOUNDS = Bounds(timeout_s=30.0, max_bytes=64 * 1024)
_NAME: StateKey = ("m.room.name", "")
_ALIAS: StateKey = ("m.room.canonical_alias", "")
EVENT_ID_ONLY = "event_id_only"


class Gateway:
    def __init__(self, *, http: OutgoingHttp) -> None:
        self._http = http

    async def notify(self, pusher: Pusher, notification: Mapping[str, Any]) -> bool:
        """Tells the pusher's gateway. False if the gateway rejects the pushkey: then nobody listens there any more.

        Raises: FetchFailed, for what may be tried again.
        """
        answer = await self._http.send_json("POST", pusher.data["url"], {"notification": notification}, bounds=_BOUNDS)
        if answer.status != 200:
            raise FetchFailed(f"the gateway answered {answer.status}")
        return pusher.pushkey not in _rejected(answer)


def _rejected(answer: Fetched) -> list[Any]:
    """Of a gateway that says it in no way that we know, none."""
    try:
        body = answer.json()
    except FetchFailed:
        return []
    rejected = body.get("rejected") if isinstance(body, dict) else None
    return rejected if isinstance(rejected, list) else []


def badge_only(pusher: Pusher, unread: int) -> dict[str, Any]:
    """A new number beside the app's icon. Zero is said too: it clears what was there."""
    return {"counts": {"unread": unread}, "devices": [_device(pusher)]}


@frozen(kw_only=True)
class Notifications:
    """Writes notifications of events. `with_content`: the operator's `push.include_content`."""

    heads: Heads
    with_content: bool = True

    async def of_event(self, pusher: Pusher, stored: StoredEvent, actions: Actions, unread: int) -> dict[str, Any]:
        """The notification in the pusher's format."""
        event = stored.event
        found: dict[str, Any] = {
            "event_id": event.event_id,
            "room_id": event.room_id,
            "prio": _priority(event.type, actions),
            "counts": {"unread": unread} if unread else {},
        }
        if pusher.data.get("format") == EVENT_ID_ONLY:
            return {**found, "devices": [_device(pusher)]}
        found |= {"type": event.type, "sender": event.sender, **await self._names(stored)}
        if event.type == "m.room.member" and event.is_state:
            found |= {"user_is_target": event.state_key == pusher.user_id, "membership": event.membership}
        if self.with_content and event.content:
            found["content"] = event.content
        return {**found, "devices": [{**_device(pusher), "tweaks": dict(actions.tweaks)}]}

    async def _names(self, stored: StoredEvent) -> dict[str, str]:
        """`sender_display_name`, `room_name` and `room_alias`, as far as there are such."""
        member: StateKey = ("m.room.member", stored.event.sender)
        try:
            head = await self.heads.get(stored.event.room_id)
        except NotFound:
            return {}
        state = await self.heads.state_events(head, [_NAME, _ALIAS, member])
        wanted = {
            "sender_display_name": (member, "displayname"),
            "room_name": (_NAME, "name"),
            "room_alias": (_ALIAS, "alias"),
        }
        texts = {name: state[key].event.content.get(text) for name, (key, text) in wanted.items() if key in state}
        return {name: text for name, text in texts.items() if isinstance(text, str) and text}


def _priority(event_type: str, actions: Actions) -> str:
    """Low for what makes no sound; of an encrypted event nobody here knows whether it will."""
    is_loud = event_type == "m.room.encrypted" or actions.highlight or actions.sound is not None
    return "high" if is_loud else "low"


def _device(pusher: Pusher) -> dict[str, Any]:
    return {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "pushkey_ts": pusher.set_ms // 1000,
        "data": {name: value for name, value in pusher.data.items() if name != "url"},
    }
