"""What the homeserver told, to whoever brings it to the network, or answers it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve, frozen

from appservice.bridges.core import polls, texts
from appservice.bridges.core.authors import Authors
from appservice.bridges.core.chats import Chats
from appservice.bridges.core.commands import Commands
from appservice.bridges.core.context import Context
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.media import Media
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.messages_out import MessagesOut
from appservice.bridges.core.notices import Notices
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.reactions_out import ReactionsOut
from appservice.bridges.core.state_out import StateOut
from storage import bridges_messages as rows
from storage.bridges import PortalRow
from storage.bridges_inbox import Waiting

JsonDict = dict[str, Any]
logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Brought:
    """The parts that bring things to the network."""

    portals: Portals
    authors: Authors
    messages: MessagesOut
    message_map: MessageMap
    reactions: ReactionsOut
    state: StateOut
    media: Media
    notices: Notices
    commands: Commands
    chats: Chats


class MatrixEvents:
    """Handles events of the inbox. Raises: NetworkError, MatrixRefused, HomeserverDown."""

    def __init__(self, *, context: Context, brought: Brought) -> None:
        self._context = context
        self._by = brought
        to = brought
        self._state: dict[str, Callable[[PortalRow, JsonDict], Awaitable[None]]] = {
            "m.room.name": lambda portal, event: to.state.set_text(portal, event, "name"),
            "m.room.topic": lambda portal, event: to.state.set_text(portal, event, "topic"),
            "m.room.avatar": lambda portal, event: to.state.set_avatar(portal, event, to.media),
            "m.room.member": self._member,
            "m.room.power_levels": to.state.change_power,
            "m.room.pinned_events": to.state.change_pins,
            "m.room.tombstone": self._follow,
        }
        self._messages: dict[str, Callable[[PortalRow, JsonDict, Waiting], Awaitable[None]]] = {
            "m.room.message": self._message,
            "m.sticker": to.messages.send,
            "m.room.redaction": self._redaction,
            "m.reaction": lambda portal, event, _: to.reactions.add(portal, event),
            "m.room.encrypted": self._encrypted,
            **dict.fromkeys(polls.STARTS, to.messages.send),
            **dict.fromkeys(polls.RESPONSES, lambda portal, event, _: to.reactions.vote(portal, event)),
            **dict.fromkeys(polls.ENDS, lambda portal, event, _: to.reactions.end_poll(portal, event)),
        }

    async def handle(self, item: Waiting) -> None:
        event = item.payload
        if not is_event(event):
            return
        portal = self._by.portals.of_room(event["room_id"])
        if event["type"] == "m.room.member":
            self._saw_member(event)
        if self._is_our_doing(event):
            return
        if portal is None:
            await self._elsewhere(event)
        elif "state_key" in event:
            if (change := self._state.get(event["type"])) is not None:
                await change(portal, event)
        elif (bring := self._messages.get(event["type"])) is not None:
            await bring(portal, event, item)

    def _is_our_doing(self, event: JsonDict) -> bool:
        content = event["content"]
        if self._context.is_own(event["sender"]):
            return True
        return bool(content.get("fi.mau.double_puppet_source") == self._context.store.bridge)

    def _saw_member(self, event: JsonDict) -> None:
        user_id, membership = event.get("state_key"), event["content"].get("membership")
        if isinstance(user_id, str):
            self._by.portals.saw_membership(event["room_id"], user_id, membership == "join")
            self._by.authors.saw(event["room_id"], user_id, event["content"])

    async def _message(self, portal: PortalRow, event: JsonDict, item: Waiting) -> None:
        target = texts.related(event["content"], "m.replace")
        if target is not None:
            await self._by.messages.edit(portal, event, target)
        elif await self._by.commands.take(event, portal):
            return
        elif not await self._by.reactions.answer(portal, event):
            await self._by.messages.send(portal, event, item)

    async def _redaction(self, portal: PortalRow, event: JsonDict, item: Waiting) -> None:
        target = event.get("redacts") or event["content"].get("redacts")
        if not isinstance(target, str):
            return
        known = await self._by.message_map.of_event(target)
        if known:
            await self._by.messages.delete(portal, event, known)
            return
        reaction = await self._context.store.read(rows.reaction_of_event, target)
        if reaction is not None:
            await self._by.reactions.remove(portal, event, reaction)

    async def _encrypted(self, portal: PortalRow, event: JsonDict, item: Waiting) -> None:
        await self._by.notices.say_once(
            portal.room_id, "This bridge cannot read encrypted messages: they stay in this room."
        )

    async def _member(self, portal: PortalRow, event: JsonDict) -> None:
        user_id, membership = event.get("state_key"), event["content"].get("membership")
        if user_id == self._context.bot.user_id:
            if membership in ("leave", "ban"):
                await self._by.chats.leave_portal(portal)
            return
        await self._by.state.change_member(portal, event)

    async def _follow(self, portal: PortalRow, event: JsonDict) -> None:
        """A room that was upgraded: its successor is the portal."""
        successor = event["content"].get("replacement_room")
        if not isinstance(successor, str):
            return
        try:
            await self._context.matrix.join(self._context.bot, successor)
        except MatrixRefused as error:
            await self._by.notices.tell_admins(f"The bridge cannot follow {portal.room_id} to {successor}: {error}")
            return
        if self._by.portals.of_room(successor) is None:
            shown = {key: value for key, value in portal.shown.items() if key not in ("pins", "listed")}
            await self._by.portals.put(evolve(portal, room_id=successor, shown=shown))

    # --- rooms that are no portals

    async def _elsewhere(self, event: JsonDict) -> None:
        if event["type"] == "m.room.member":
            await self._by.chats.member(event)
        elif event["type"] == "m.room.message" and "state_key" not in event:
            await self._by.commands.take(event, None)


def is_event(event: JsonDict) -> bool:
    """Has it what every event has?"""
    texts_of = [event.get(key) for key in ("type", "room_id", "sender", "event_id")]
    return all(isinstance(each, str) for each in texts_of) and isinstance(event.get("content"), dict)
