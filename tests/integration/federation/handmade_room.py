"""A room of a server that a test writes by hand: its first events, and the answers to those who want to come in."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from attrs import define, field

from matrix.events import Json
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.federation import Sent
from tests.support.http import Response

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"


@define
class HandmadeRoom:
    """Public, unless `join_rule` says otherwise. `of_template` and `of_answer` change what is answered."""

    server: FakeServer
    version: str = "10"
    localpart: str = "eve"
    join_rule: str = "public"
    events: list[Json] = field(factory=list)
    of_template: Callable[[Json], Any] = field(default=lambda answer: answer)
    of_answer: Callable[[Json], Any] = field(default=lambda answer: answer)
    room: str = ""

    def __attrs_post_init__(self) -> None:
        self.room = f"!handmade{id(self)}:{self.server.name}"
        creator: Json = {"room_version": self.version, "creator": self.creator}
        self.add("m.room.create", creator)
        self.add("m.room.member", {"membership": "join"}, self.creator)
        self.add("m.room.power_levels", {"users": {self.creator: 100}})
        self.add("m.room.join_rules", {"join_rule": self.join_rule})
        for path in ("make_join", "make_knock", "make_leave"):
            self.server.answers("GET", f"{V1}/{path}/{_quoted(self.room)}", self._make)
        self.server.answers("PUT", f"{V2}/send_join/{_quoted(self.room)}", self._send)
        self.server.answers("PUT", f"{V1}/send/", {"pdus": {}})

    @property
    def creator(self) -> str:
        return self.server.user(self.localpart)

    def id_of(self, pdu: Json) -> Any:
        return event_id_of(pdu, self.version)

    def add(self, event_type: str, content: Json, state_key: str = "", **fields: Any) -> Json:
        """A state event after all others, allowed by all of them."""
        auth = [] if event_type == "m.room.create" else [self.id_of(one) for one in self.events[:3]]
        pdu = self.server.pdu(
            self.version,
            type=event_type,
            sender=self.creator,
            state_key=state_key,
            content=content,
            room_id=self.room,
            prev_events=[self.id_of(self.events[-1])] if self.events else [],
            auth_events=auth,
            depth=len(self.events) + 1,
            **fields,
        )
        self.events.append(pdu)
        return pdu

    def template(self, membership: str, user_id: str) -> Json:
        return {
            "type": "m.room.member",
            "sender": user_id,
            "state_key": user_id,
            "room_id": self.room,
            "content": {"membership": membership},
            "prev_events": [self.id_of(self.events[-1])],
            "auth_events": [self.id_of(self.events[at]) for at in (0, 2, 3)],
            "depth": len(self.events) + 1,
            "origin_server_ts": 1,
        }

    def invite(self, user_id: str, **content: Any) -> Json:
        return self.server.pdu(
            self.version,
            type="m.room.member",
            sender=self.creator,
            state_key=user_id,
            content={"membership": "invite", **content},
            room_id=self.room,
            prev_events=[self.id_of(self.events[-1])],
            auth_events=[self.id_of(one) for one in self.events[:4]],
            depth=len(self.events) + 1,
        )

    async def send_invite(self, destination: str, pdu: Json, shown: Any = None, version: str | None = None) -> Response:
        """PUT /invite. `shown`: the room's first events, if nothing else."""
        shown = self.events if shown is None else shown
        body = {"event": pdu, "room_version": version or self.version, "invite_room_state": shown}
        event_id = event_id_of(pdu, version or self.version)
        return await self.server.ask(
            destination, "PUT", f"{V2}/invite/{_quoted(self.room)}/{quote(event_id, safe='')}", body
        )

    def state_answer(self) -> Json:
        return {"state": list(self.events), "auth_chain": list(self.events), "origin": self.server.name}

    def _make(self, sent: Sent) -> Any:
        _, _, _, _, what, _, user_id = sent.path.split("/")
        template = self.template(what.removeprefix("make_"), unquote(user_id))
        return self.of_template({"room_version": self.version, "event": template})

    def _send(self, sent: Sent) -> Any:
        return self.of_answer(self.state_answer())


def _quoted(room: str) -> str:
    return room.replace("!", "%21").replace(":", "%3A")
