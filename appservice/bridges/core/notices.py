"""What the bridge says to people: in rooms, in management rooms, and not twice within the hour."""

import html
import logging
import re
from typing import Any

from appservice.bridges.core.context import Context
from appservice.bridges.core.matrix_client import HomeserverDown, MatrixRefused
from appservice.bridges.core.names import txn_id
from homeserver.runtime.caches import Lru
from matrix.ids import UserId
from storage import bridges as rows

JsonDict = dict[str, Any]
_AGAIN_S = 3600.0
_MAX_REMEMBERED = 2000
_MARKUP = re.compile(r"```(.+?)```|`([^`]+)`|\*\*(.+?)\*\*|\[([^\]]+)\]\((https?://[^\s)]+)\)", re.DOTALL)

logger = logging.getLogger(__name__)


class Notices:
    """`load` first: it knows the management rooms."""

    def __init__(self, *, context: Context) -> None:
        self._context = context
        self._users: dict[str, UserId] = {}
        self._said: Lru[tuple[str, str], bool] = Lru("bridge_notices", _MAX_REMEMBERED, context.clock, _AGAIN_S)

    async def load(self) -> None:
        for room_id, user_id in await self._context.store.read(rows.management_rooms):
            self._users[room_id] = user_id

    def manager_of(self, room_id: str) -> UserId | None:
        """Whose management room it is."""
        return self._users.get(room_id)

    async def manage(self, room_id: str, user_id: UserId) -> None:
        await self._context.store.run(rows.put_management_room, room_id, user_id)
        self._users[room_id] = user_id

    async def forget(self, room_id: str) -> None:
        await self._context.store.run(rows.delete_management_room, room_id)
        self._users.pop(room_id, None)

    async def say(self, room_id: str, text: str, *, reply_to: str | None = None, key: str | None = None) -> str | None:
        """A notice of the bot's, of some Markdown. `key`: what is said with the same is said once."""
        content = notice(text)
        if reply_to is not None:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        txn = txn_id("notice", room_id, key if key is not None else (text, self._context.clock.now_ms()))
        try:
            return await self._context.matrix.send(self._context.bot, room_id, "m.room.message", content, txn)
        except (MatrixRefused, HomeserverDown) as error:
            logger.warning("Nobody in %s was told %r: %s", room_id, text[:200], error)
            return None

    async def say_once(self, room_id: str, text: str) -> None:
        """Not again within the hour."""
        if self._said.get((room_id, text)) is None:
            self._said.set((room_id, text), True)
            await self.say(room_id, text)

    async def tell_user(self, user_id: str, text: str) -> None:
        """In their management rooms; a new one, if they have none."""
        found = [room for room, user in self._users.items() if user == user_id]
        if not found and (opened := await self._open(UserId(user_id))) is not None:
            found = [opened]
        for room_id in found:
            await self.say_once(room_id, text)

    async def tell_admins(self, text: str) -> None:
        """Those who run the bridge: in the log, and in the management rooms of admins."""
        if self._said.get(("log", text)) is None:
            self._said.set(("log", text), True)
            logger.warning("%s", text)
        settings = self._context.settings
        admins = [user for user, level in settings.permissions.items() if level == "admin" and user[:1] == "@"]
        for user in {*admins, *(user for user in self._users.values() if settings.level_of(user) == "admin")}:
            await self.tell_user(user, text)

    async def _open(self, user_id: UserId) -> str | None:
        body = {"preset": "trusted_private_chat", "is_direct": True, "invite": [user_id]}
        try:
            room_id = await self._context.matrix.create_room(self._context.bot, body)
        except (MatrixRefused, HomeserverDown) as error:
            logger.warning("No room to tell %s something: %s", user_id, error)
            return None
        await self.manage(room_id, user_id)
        return room_id


def notice(text: str) -> JsonDict:
    """An m.notice of some Markdown: **bold**, `code`, ```blocks```, links, lines."""
    formatted = _html(text)
    content: JsonDict = {"msgtype": "m.notice", "body": text, "m.mentions": {}}
    if formatted != html.escape(text):
        content |= {"format": "org.matrix.custom.html", "formatted_body": formatted}
    return content


def _html(text: str) -> str:
    written, at = [], 0
    for match in _MARKUP.finditer(text):
        written.append(_lines(text[at : match.start()]))
        at = match.end()
        block, code, bold, label, url = match.groups()
        if block is not None:
            written.append(f"<pre><code>{html.escape(block.strip())}</code></pre>")
        elif code is not None:
            written.append(f"<code>{html.escape(code)}</code>")
        elif bold is not None:
            written.append(f"<strong>{html.escape(bold)}</strong>")
        else:
            written.append(f'<a href="{html.escape(url)}">{html.escape(label)}</a>')
    return "".join([*written, _lines(text[at:])])


def _lines(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")
