"""A client that believes what sync tells it, and fills its gaps by /messages.

After each answer all that it believes must be what is so at the position of that answer.
"""

import json
from typing import Any

from attrs import define, field

from tests.integration.client_api.sync_truth import MEMBER, State, Truth
from tests.support.homeserver import Client, q


@define(eq=False)
class Room:
    """What the client knows of a room: event ids in order, and by key."""

    is_in: bool = False
    seen: list[str] = field(factory=list)
    state: State = field(factory=dict)
    receipts: dict[str, str] = field(factory=dict)
    summary: dict[str, Any] = field(factory=dict)
    unread: int = 0
    has_hole: bool = False  # put out or asked in again before it could fill a gap: what it missed it may not read now
    told: list[str] = field(factory=list)  # the last answers, for who looks into a failure


@define(eq=False)
class Follower:
    client: Client
    state_after: bool
    lazy: bool
    rooms: dict[str, Room] = field(factory=dict)
    messages: list[str] = field(factory=list)
    before: str | None = None
    limit: int | None = None

    async def sync(self, truth: Truth, limit: int, *, is_lost: bool = False) -> Any:
        """One answer. A lost one is as if it had never been: the client asks the same again."""
        limit = self.limit = self.limit or limit
        wanted = {"room": {"timeline": {"limit": limit}, "state": {"lazy_load_members": self.lazy}}}
        query = {"filter": json.dumps(wanted), "use_state_after": "true" if self.state_after else "false"}
        before = self.before = self.client.since
        answer = await self.client.sync(set_presence="offline", **query)
        if is_lost:
            self.client.since = before
            return answer
        self.limit = None
        position = int(answer["next_batch"].lstrip("s"))
        assert before is None or position >= int(before.lstrip("s"))
        truth.read()
        told = answer.get("rooms", {})
        for room_id, part in told.get("join", {}).items():
            await self._hear(truth, room_id, part, position, is_in=True)
        for room_id, part in told.get("leave", {}).items():
            await self._hear(truth, room_id, part, position, is_in=False)
        for room_id in [*told.get("invite", ()), *told.get("knock", ())]:
            # If it was in the room it has been put out and asked in again: what happened until then is not told.
            self.rooms[room_id] = Room()
        self.messages += [event["content"]["id"] for event in answer.get("to_device", {}).get("events", ())]
        self._check(truth, position)
        return answer

    async def _hear(self, truth: Truth, room_id: str, part: dict[str, Any], position: int, *, is_in: bool) -> None:
        room = self.rooms.setdefault(room_id, Room())
        timeline = [event["event_id"] for event in part["timeline"]["events"]]
        assert len(set(timeline)) == len(timeline), "told twice"
        was_in = room.is_in
        if is_in and not was_in:
            # It must be told whole.
            room.state, room.has_hole = {}, False
        missed: list[str] = []
        seen = set(room.seen) - truth.aside(room_id, self.client.user_id)
        if part["timeline"]["limited"]:
            gap = await self._gap(room_id, part["timeline"]["prev_batch"], seen | set(timeline))
            if gap is None:
                truth.read()
                now = truth.membership(room_id, self.client.user_id, truth.newest)
                assert now in ("invite", "ban"), f"may not read the gap, as {now}"
            missed, room.has_hole = gap or [], room.has_hole or gap is None
        known = [event_id for event_id in timeline if event_id in seen]
        assert not known or (not was_in and part["timeline"]["limited"]), "told again"
        assert timeline[: len(known)] == known, "the old among the new"
        room.seen += [one for one in missed + timeline if one not in room.seen]
        self._fold(room, part)
        room.is_in = is_in
        room.told = [*room.told[-4:], f"upto {position} {'join' if is_in else 'leave'} {json.dumps(part)}"]
        for event in part["timeline"]["events"]:
            own = truth.membership_at(room_id, self.client.user_id, event["event_id"])
            assert event["unsigned"]["membership"] == own
        if is_in and self.lazy:
            self._check_members(truth, room_id, room, part, position)

    async def _gap(self, room_id: str, token: str, seen: set[str]) -> list[str] | None:
        """What was missed before the token, oldest first; None if it may not read the room any more."""
        missed: list[str] = []
        while True:
            path = f"/rooms/{q(room_id)}/messages"
            response = await self.client.ask("GET", path, dir="b", limit=7, **{"from": token})
            if response.status == 403:
                return None
            assert response.status == 200, response
            page = response.json
            for event in page["chunk"]:
                if event["event_id"] in seen:
                    return missed[::-1]
                missed.append(event["event_id"])
            if "end" not in page:
                return missed[::-1]
            token = page["end"]

    def _fold(self, room: Room, part: dict[str, Any]) -> None:
        assert ("state_after" in part) == self.state_after
        assert ("state" in part) == (not self.state_after)
        events = part["state_after" if self.state_after else "state"]["events"]
        if not self.state_after:
            events = events + [event for event in part["timeline"]["events"] if "state_key" in event]
        room.state.update({(event["type"], event["state_key"]): event["event_id"] for event in events})
        for event in part.get("ephemeral", {}).get("events", ()):
            if event["type"] == "m.receipt":
                for event_id, by_type in event["content"].items():
                    room.receipts.update(dict.fromkeys(by_type.get("m.read", ()), event_id))
        room.summary.update(part.get("summary", {}))
        room.unread = part.get("unread_notifications", {}).get("notification_count", 0)

    def _check_members(self, truth: Truth, room_id: str, room: Room, part: dict[str, Any], position: int) -> None:
        """A lazy client knows at least who speaks, who names the room, and itself."""
        users = {event["sender"] for event in part["timeline"]["events"]} | {self.client.user_id}
        now = truth.state(room_id, position)
        users |= {user for user in part.get("summary", {}).get("m.heroes", ()) if (MEMBER, user) in now}
        for user in users:
            assert room.state.get((MEMBER, user)) == now[(MEMBER, user)], (user, now[(MEMBER, user)], room.told)

    def _check(self, truth: Truth, position: int) -> None:
        user_id = self.client.user_id
        for room_id in truth.histories:
            room = self.rooms.setdefault(room_id, Room())
            is_in = truth.membership(room_id, user_id, position) == "join"
            mine = [(event.position, made) for event in truth.histories[room_id] if (made := event.makes(user_id))]
            stream = self.client.hs.core.storage.stream
            where = f"{self.before} -> {position} by one at {stream.position} that remembers since {stream.floor}"
            assert room.is_in == is_in, (room_id, mine, where, room.told[-1:])
            gone = truth.last_gone(room_id, user_id, position)
            aside = truth.aside(room_id, user_id)
            if not is_in and (gone is None or not set(room.seen) - aside):
                # Never in the room, or only before this client came or the last invite.
                continue
            until = position if gone is None else gone
            expected = [one for one in truth.visible(room_id, user_id, until) if one not in aside]
            seen = [one for one in room.seen if one not in aside]
            assert room.has_hole or seen == expected, (
                user_id,
                truth.missing_and_more(room_id, expected, seen),
                room.told,
            )
            self._check_state(room, truth.state(room_id, until), user_id, is_in=is_in)

    def _check_state(self, room: Room, expected: State, user_id: str, *, is_in: bool) -> None:
        if self.lazy:
            now = {key: nid for key, nid in room.state.items() if key[0] != MEMBER}
            assert now == {key: nid for key, nid in expected.items() if key[0] != MEMBER}
            return
        if not is_in:
            # A ban after the leaving is told, and is no more of the room's state as the client saw it.
            expected[(MEMBER, user_id)] = room.state[(MEMBER, user_id)]
        keys = room.state.keys() | expected.keys()
        wrong = {key for key in keys if room.state.get(key) != expected.get(key)}
        assert not wrong, (wrong, room.told)
