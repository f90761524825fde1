"""A mail of what a user has not read: which rooms, which messages, in which words.

The names in it are those of Synapse's templates, so that an operator's own templates work here as there.
"""

import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen
from markupsafe import Markup, escape

from homeserver.services.push.due_invites import Due
from homeserver.services.push.mail_templates import MailTemplates
from homeserver.services.push.unsubscribing import Unsubscribing
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.room_titles import RoomTitles
from homeserver.web.mail import Mailer
from matrix.errors import NotFound
from matrix.ids import RoomId, UserId
from storage.pushers import Pusher

# Of a message; nobody reads more in a mail.
MAX_BODY = 1_000
MAX_BRAND = 50
MATRIX_TO = "https://matrix.to"

DisplayName = Callable[[UserId], Awaitable[str | None]]


@frozen(kw_only=True)
class DigestSettings:
    """`client_base_url` is the web client that links lead to; `with_content`: mails say what was said."""

    app_name: str
    server_name: str
    client_base_url: str
    delay_ms: int
    with_content: bool = True


@frozen(kw_only=True)
class RoomNews:
    """One room's part of a mail. `name` is what its members named it; `people` who wrote, the newest last."""

    room_id: RoomId
    name: str | None
    title: str
    is_invite: bool
    is_space: bool
    people: Sequence[str]
    shown: dict[str, Any]


class MailDigests:
    def __init__(
        self,
        *,
        settings: DigestSettings,
        heads: Heads,
        titles: RoomTitles,
        display_name: DisplayName,
        templates: MailTemplates,
        unsubscribing: Unsubscribing,
        mailer: Mailer,
    ) -> None:
        self._settings = settings
        self._heads = heads
        self._titles = titles
        self._display_name = display_name
        self._templates = templates
        self._unsubscribing = unsubscribing
        self._mailer = mailer

    @property
    def delay_ms(self) -> int:
        return self._settings.delay_ms

    async def send(self, pusher: Pusher, due: Sequence[Due]) -> None:
        """Tells the user of these events, which are in order. Raises: MailFailed."""
        by_room: dict[RoomId, list[Due]] = {}
        for one in due:
            # The room of which something came last is last, and comes first in the mail.
            by_room[one.stored.event.room_id] = [*by_room.pop(one.stored.event.room_id, []), one]
        rooms = [await self._room(pusher, room_id, of_room) for room_id, of_room in reversed(by_room.items())]
        # As Synapse: what the client that asked for the mails calls itself.
        app_name = _text(pusher.data.get("brand"))[:MAX_BRAND] or self._settings.app_name
        subject = self._templates.subject(app_name, rooms)
        link = self._unsubscribing.link(pusher)
        values = {
            "app_name": app_name,
            "server_name": self._settings.server_name,
            "user_display_name": await self._display_name(pusher.user_id) or pusher.user_id,
            "unsubscribe_link": link,
            "summary_text": subject,
            "rooms": [room.shown for room in rooms],
        }
        text, html = self._templates.render(values)
        # RFC 2369 and RFC 8058: the mail program shows a button of its own.
        headers = {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        await self._mailer.send(pusher.pushkey, subject, text, html=html, headers=headers)

    async def _room(self, pusher: Pusher, room_id: RoomId, due: Sequence[Due]) -> RoomNews:
        try:
            head: Head | None = await self._heads.get(room_id)
        except NotFound:
            head = None  # an invite into a room that this server is not in
        is_invite = due[-1].stored.event.type == "m.room.member"
        senders = [one.stored.event.sender for one in due]
        names = {user: user if head is None else await self._titles.member_name(head, user) for user in set(senders)}
        name = None if head is None else await self._titles.name(head)
        title = name or names[senders[-1]]
        if head is not None and name is None and not is_invite:
            title = await self._titles.title(head, pusher.user_id)
        link = self._link(room_id)
        shown = {
            "title": title,
            "hash": zlib.crc32(room_id.encode()),
            "invite": is_invite,
            "link": link,
            "avatar_url": None,
            "notifs": [] if is_invite else [self._notif(one, names, link) for one in due],
        }
        return RoomNews(
            room_id=room_id,
            name=name,
            title=title,
            is_invite=is_invite,
            is_space=head is not None and await self._titles.is_space(head),
            people=list(dict.fromkeys(names[user] for user in senders)),
            shown=shown,
        )

    def _notif(self, due: Due, names: dict[UserId, str], link: str) -> dict[str, Any]:
        event = due.stored.event
        body = _text(event.content.get("body")) if self._settings.with_content else ""
        message = {
            "id": event.event_id,
            "event_type": event.type,
            "is_historical": False,
            "ts": event.origin_server_ts,
            "sender_name": names[event.sender],
            "sender_avatar_url": None,
            "sender_hash": zlib.crc32(event.sender.encode()),
            "msgtype": _text(event.content.get("msgtype")) if self._settings.with_content else "",
            "body_text_plain": body,
            "body_text_html": escape(body).replace("\n", Markup("<br>")),
        }
        return {"link": f"{link}/{event.event_id}", "ts": event.origin_server_ts, "messages": [message]}

    def _link(self, room_id: RoomId) -> str:
        base = self._settings.client_base_url.rstrip("/")
        return f"{base}/#/{room_id}" if base == MATRIX_TO else f"{base}/#/room/{room_id}"


def _text(value: object) -> str:
    return value[:MAX_BODY] if isinstance(value, str) else ""
