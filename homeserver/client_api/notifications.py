"""The list of notifications.

Source: client-server API, "Listing Notifications".
"""

from typing import Any

import orjson

from homeserver.services.push.notifications import ListQuery, NotificationList
from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route

DEFAULT_LIMIT, MAX_LIMIT = 20, 100


class NotificationsApi:
    def __init__(self, *, notifications: NotificationList, client_events: ClientEvents) -> None:
        self._notifications = notifications
        self._client_events = client_events

    @route("GET", *client("/notifications"))
    async def get_notifications(self, call: Call) -> Answer:
        query = ListQuery(
            before=call.query.optional_integer("from", minimum=0),
            limit=call.query.integer("limit", DEFAULT_LIMIT, minimum=1, clamp=MAX_LIMIT),
            highlights_only=call.query.optional_text("only") == "highlight",
        )
        listed = await self._notifications.page(call.user.user_id, query)
        events = [orjson.loads(one) for one in await self._client_events.write(Reader.of(call.user), listed.seen)]
        answer: dict[str, Any] = {
            "notifications": [
                {
                    "room_id": event.pop("room_id"),
                    "actions": list(actions.as_list),
                    "event": event,
                    "read": stored.position not in listed.unread,
                    "ts": stored.event.origin_server_ts,
                }
                for stored, actions, event in zip(listed.seen.events, listed.actions, events, strict=True)
            ]
        }
        if listed.next_before is not None:
            answer["next_token"] = str(listed.next_before)
        return answer
