"""What really happened in the rooms, read from the table of events and judged by the letter of the specification.

Written without a line of the server's own code: it says what a sync must come to.
"""

from typing import Any

import psycopg2
from attrs import define, field, frozen

State = dict[tuple[str, str], str]
MEMBER = "m.room.member"


@frozen
class Happened:
    position: int
    event_id: str
    pdu: dict[str, Any]

    @property
    def key(self) -> tuple[str, str] | None:
        return (self.pdu["type"], self.pdu["state_key"]) if "state_key" in self.pdu else None

    def makes(self, user_id: str) -> str | None:
        """The membership that the event gives the user."""
        return self.pdu["content"]["membership"] if self.key == (MEMBER, user_id) else None


@define(eq=False)
class Truth:
    """Histories by room id. A room's state is the fold of its state events: there are no forks in these tests."""

    dsn: str
    histories: dict[str, list[Happened]] = field(factory=dict)
    newest: int = 0

    def read(self) -> None:
        """Takes in what was committed since."""
        connection = psycopg2.connect(self.dsn)
        try:
            cur = connection.cursor()
            cur.execute(
                "SELECT r.room_id, e.position, e.event_id, e.json::json FROM events e JOIN rooms r USING (room_nid)"
                " WHERE e.position > %s AND e.flags = 0 ORDER BY e.position",
                (self.newest,),
            )
            for room_id, *row in cur:
                self.histories.setdefault(room_id, []).append(Happened(*row))
                self.newest = row[0]
        finally:
            connection.close()

    def upto(self, room_id: str, position: int) -> list[Happened]:
        return [event for event in self.histories.get(room_id, ()) if event.position <= position]

    def state(self, room_id: str, position: int) -> State:
        return {event.key: event.event_id for event in self.upto(room_id, position) if event.key is not None}

    def membership(self, room_id: str, user_id: str, position: int) -> str:
        made = [made for event in self.upto(room_id, position) if (made := event.makes(user_id))]
        return made[-1] if made else "leave"

    def last_gone(self, room_id: str, user_id: str, position: int) -> int | None:
        """The position at which the user went the last time, if he ever was in the room and is not now."""
        gone, was = None, "leave"
        for event in self.upto(room_id, position):
            now = event.makes(user_id)
            if now is not None:
                gone = event.position if was == "join" and now != "join" else None if now == "join" else gone
                was = now
        return gone

    def visible(self, room_id: str, user_id: str, position: int) -> list[str]:
        """Source: client-server API, "Room History Visibility"."""
        events = self.upto(room_id, position)
        joins = [event.position for event in events if event.makes(user_id) == "join"]
        setting, membership = "shared", "leave"
        seen = []
        for event in events:
            settings, memberships = {setting}, {membership}
            if event.key == ("m.room.history_visibility", ""):
                setting = event.pdu["content"]["history_visibility"]
            membership = event.makes(user_id) or membership
            settings.add(setting)
            memberships.add(membership)
            joins_later = bool(joins) and joins[-1] > event.position
            if (
                "join" in memberships
                or "world_readable" in settings
                or ("shared" in settings and joins_later)
                or ("invited" in settings and "invite" in memberships)
            ):
                seen.append(event.event_id)
        return seen

    def aside(self, room_id: str, user_id: str) -> set[str]:
        """Changes of the user's own membership from outside to outside: an invite that is declined, a ban.

        Sync shows them as they happen, whoever may read the room's history.
        """
        aside, was = set(), "leave"
        for event in self.histories.get(room_id, ()):
            now = event.makes(user_id)
            if now is not None:
                if "join" not in (was, now):
                    aside.add(event.event_id)
                was = now
        return aside

    def missing_and_more(self, room_id: str, expected: list[str], seen: list[str]) -> list[str]:
        """For who looks into a failure."""
        return [
            f"{'+' if event.event_id in seen else '-'}{event.position} {event.pdu['type']} {event.pdu['content']}"
            for event in self.histories[room_id]
            if (event.event_id in seen) != (event.event_id in expected) or event.key is not None
        ]

    def membership_at(self, room_id: str, user_id: str, event_id: str) -> str:
        """The user's own, as `unsigned.membership` has it: with what the event itself makes it."""
        [position] = [event.position for event in self.histories[room_id] if event.event_id == event_id]
        return self.membership(room_id, user_id, position)
