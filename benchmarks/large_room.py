"""A room as large as the largest public ones: members of many servers, new names, bans, power levels that changed.

    room = LargeRoom.make(members=10_000, events=30_000)

Every event is hashed, signed by its sender's server and allowed by its auth events. Names that change and change back
make long auth chains: of each member all earlier member events are in it.
"""

import random
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

import orjson
from attrs import define, field

from matrix import canonical_json
from matrix.building import Draft, build
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion
from matrix.server_keys import publish
from matrix.signing import SigningKey

VERSION = "11"
FAR_MS = 4_000_000_000_000
FIRST_MS = 1_700_000_000_000
CREATE, LEVELS, RULES = ("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.join_rules", "")
MEMBER = "m.room.member"


@define
class LargeRoom:
    """`servers`: names and keys; the first one made the room. `state` is the state now, `events` all of them."""

    servers: dict[ServerName, SigningKey]
    events: list[Event] = field(factory=list)
    state: dict[StateKey, Event] = field(factory=dict)
    version: RoomVersion = ROOM_VERSIONS[VERSION]

    @classmethod
    def make(cls, servers: Sequence[str], *, members: int, events: int) -> "LargeRoom":
        """At least three events for two members are needed; of the rest a hundredth are bans and power levels."""
        keys = {ServerName(name): key_of(name) for name in servers}
        room = cls(keys)
        room._found()
        users = [room.user(number) for number in range(members)]
        for user in users:
            room.join(user, f"Member {user.localpart}")
        chance = random.Random(1)
        for number in range(events - len(room.events)):
            if number % 100 == 0:
                room.set_levels(users[:50], number)
            elif number % 100 == 1:
                room.say(MEMBER, room.creator, {"membership": "ban"}, state_key=users[-1 - number // 100])
            else:
                # The last hundreds may be banned.
                room.join(users[chance.randrange(members // 2)], f"Member {number}")
        return room

    @property
    def creator(self) -> UserId:
        return UserId(f"@creator:{next(iter(self.servers))}")

    @property
    def room_id(self) -> RoomId:
        return RoomId(f"!large:{next(iter(self.servers))}")

    @property
    def last(self) -> Event:
        return self.events[-1]

    def user(self, number: int) -> UserId:
        names = list(self.servers)
        return UserId(f"@member{number}:{names[number % len(names)]}")

    def join(self, user: UserId, name: str) -> None:
        avatar = f"mxc://{user.domain}/{name.replace(' ', '')}"
        content = {"membership": "join", "displayname": name, "avatar_url": avatar}
        self.say(MEMBER, user, content, state_key=user)

    def set_levels(self, moderators: Sequence[UserId], number: int) -> None:
        users = {str(self.creator): 100, **{str(user): 50 for user in moderators[: 1 + number // 100 % 50]}}
        self.say("m.room.power_levels", self.creator, {"users": users, "ban": 50, "kick": 50, "state_default": 50})

    def say(self, event_type: str, sender: UserId, content: Json, state_key: str = "") -> Event:
        keys = [CREATE, LEVELS, (MEMBER, str(sender)), (MEMBER, state_key)]
        if content.get("membership") == "join":
            keys.append(RULES)
        known = [self.state[key] for key in dict.fromkeys(keys) if key in self.state]
        draft = Draft(
            type=event_type,
            sender=sender,
            state_key=state_key,
            content=content,
            room_id=self.room_id,
            origin_server_ts=FIRST_MS + len(self.events),
            depth=len(self.events) + 1,
            prev_events=[self.last.event_id] if self.events else [],
            auth_events=known,
            event_id=None,
        )
        server = sender.domain
        event = build(draft, self.version, server, self.servers[server])
        self.events.append(event)
        self.state[event.key] = event
        return event

    def auth_chain(self, events: Sequence[Event]) -> list[Event]:
        by_id = {event.event_id: event for event in self.events}
        found: dict[EventId, Event] = {}
        stack = [one for event in events for one in event.auth_events]
        while stack:
            event_id = stack.pop()
            if event_id not in found:
                found[event_id] = by_id[event_id]
                stack += by_id[event_id].auth_events
        return list(found.values())

    def _found(self) -> None:
        self.say("m.room.create", self.creator, {"room_version": VERSION})
        self.join(self.creator, "Creator")
        self.set_levels([], 0)
        self.say("m.room.join_rules", self.creator, {"join_rule": "public"})
        self.say("m.room.history_visibility", self.creator, {"history_visibility": "shared"})
        self.say("m.room.name", self.creator, {"name": "A large room"})


def write_room(directory: Path, servers: Sequence[str], *, members: int, events: int) -> None:
    """Makes a room and writes what its servers answer: read by `SavedRoom`, in whatever process."""
    room = LargeRoom.make(servers, members=members, events=events)
    state = list(room.state.values())
    chain = room.auth_chain(state)
    few = [event for event in state if event.type != MEMBER]
    names = [str(name) for name in room.servers]
    bodies = {
        "about": {"servers": names, "room_id": str(room.room_id), "template": _template(room)},
        "whole": {**_pdus("state", state, chain), "members_omitted": False},
        "partial": {
            **_pdus("state", few, room.auth_chain(few)),
            "members_omitted": True,
            "servers_in_room": names,
        },
        "ids": {
            "pdu_ids": [event.event_id for event in state],
            "auth_chain_ids": [event.event_id for event in chain],
        },
        "state": _pdus("pdus", state, chain),
    }
    for name, body in bodies.items():
        (directory / f"{name}.json").write_bytes(orjson.dumps(body))


def _pdus(name: str, state: Sequence[Event], chain: Sequence[Event]) -> Json:
    return {name: [event.pdu for event in state], "auth_chain": [event.pdu for event in chain]}


def _template(room: LargeRoom) -> Json:
    return {
        "type": MEMBER,
        "room_id": str(room.room_id),
        "content": {"membership": "join"},
        "prev_events": [room.last.event_id],
        "auth_events": [room.state[key].event_id for key in (CREATE, LEVELS, RULES)],
        "depth": len(room.events) + 1,
        "origin_server_ts": FIRST_MS + len(room.events),
    }


class SavedRoom:
    """What the servers of a room answer that `write_room` has made. `whole`: they leave no members out."""

    def __init__(self, directory: Path, *, whole: bool = False) -> None:
        about = orjson.loads((directory / "about.json").read_bytes())
        self.servers = [ServerName(name) for name in about["servers"]]
        self.room_id = RoomId(about["room_id"])
        self._template: Json = about["template"]
        self._directory = directory
        self._whole = whole

    def answer(self, server: ServerName, target: str) -> tuple[int, bytes]:
        """The status and the JSON, by this server of the room."""
        path, _, query = target.partition("?")
        if path.startswith("/_matrix/key/v2/server"):
            return 200, canonical_json.encode(publish(server, [key_of(server)], {}, FAR_MS))
        what = path.removeprefix("/_matrix/federation/").split("/")
        match what[1:2]:
            case ["make_join"]:
                user = unquote(what[3])
                event = {**self._template, "sender": user, "state_key": user}
                return 200, orjson.dumps({"room_version": VERSION, "event": event})
            case ["send_join"]:
                is_partial = "omit_members=true" in query and not self._whole
                return 200, self._read("partial" if is_partial else "whole")
            case ["state_ids"]:
                return 200, self._read("ids")
            case ["state"]:
                return 200, self._read("state")
            case ["send"]:
                return 200, b'{"pdus":{}}'
            case _:
                return 404, b'{"errcode":"M_NOT_FOUND","error":"Not here"}'

    def _read(self, name: str) -> bytes:
        return (self._directory / f"{name}.json").read_bytes()


def key_of(server: str) -> SigningKey:
    return SigningKey.from_seed("large", sha256(server.encode()).digest())


def main() -> None:
    """python -m benchmarks.large_room DIRECTORY MEMBERS EVENTS SERVER..."""
    directory, members, events, *servers = sys.argv[1:]
    write_room(Path(directory), servers, members=int(members), events=int(events))


if __name__ == "__main__":
    main()
