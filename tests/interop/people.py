"""A person at a homeserver, by plain requests: what the tests with two servers need, and no more.

alice, bob = Person(hearth, "alice"), Person(synapse, "bob")
room = alice.create_room(invite=[bob])
bob.join(room, via=alice)
alice.send(room, "hello")
bob.hears(room, "hello")
"""

import itertools
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from tests.interop.servers import Homeserver

# Longer than anything takes that will come at all: servers on one machine answer within a second.
PATIENCE_S = 30
PASSWORD = "correct horse battery staple"
_numbers = itertools.count(1)

Event = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.errcode = body.get("errcode") if isinstance(body, dict) else None


class Person:
    """One device of one user."""

    def __init__(self, homeserver: Homeserver, name: str) -> None:
        self.homeserver = homeserver
        self.token: str | None = None
        self._since: str | None = None
        # All that sync has told, as the tests look for it.
        self.timeline: list[tuple[str, Event]] = []  # (room id, event)
        self.answers: list[dict[str, Any]] = []
        body = {"username": f"{name}{next(_numbers)}", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        session = self.ask("POST", "/register", body)
        self.user_id, self.device_id, self.token = session["user_id"], session["device_id"], session["access_token"]

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """JSON in and out; `path` is one of v3 unless it begins with /_. Raises: Refused."""
        data = None if body is None else json.dumps(body).encode()
        content = self.exchange(method, path, data, "application/json", query)
        return json.loads(content)

    def exchange(
        self, method: str, path: str, data: bytes | None, content_type: str, query: dict[str, Any] | None = None
    ) -> bytes:
        whole = path if path.startswith("/_") else f"/_matrix/client/v3{path}"
        if query:
            whole += "?" + urlencode(query, doseq=True)
        headers = {"Content-Type": content_type}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(f"{self.homeserver.url}{whole}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=2 * PATIENCE_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            raise Refused(error.code, json.loads(text) if text[:1] == b"{" else text) from None

    def create_room(self, *, invite: "Sequence[Person]" = (), version: str | None = None, **body: Any) -> str:
        wanted = {"preset": "public_chat", "invite": [person.user_id for person in invite], **body}
        if version is not None:
            wanted["room_version"] = version
        return str(self.ask("POST", "/createRoom", wanted)["room_id"])

    def join(self, room: str, *, via: "Person | None" = None) -> str:
        query = {} if via is None else {"server_name": via.homeserver.server_name, "via": via.homeserver.server_name}
        return str(self.ask("POST", f"/join/{q(room)}", {}, **query)["room_id"])

    def leave(self, room: str) -> None:
        self.ask("POST", f"/rooms/{q(room)}/leave", {})

    def invite(self, room: str, other: "Person") -> None:
        self.ask("POST", f"/rooms/{q(room)}/invite", {"user_id": other.user_id})

    def send(self, room: str, body: str, **content: Any) -> str:
        return self.send_event(room, "m.room.message", {"msgtype": "m.text", "body": body, **content})

    def send_event(self, room: str, event_type: str, content: Any) -> str:
        path = f"/rooms/{q(room)}/send/{q(event_type)}/t{next(_numbers)}"
        return str(self.ask("PUT", path, content)["event_id"])

    def set_state(self, room: str, event_type: str, content: Any, state_key: str = "") -> str:
        return str(self.ask("PUT", f"/rooms/{q(room)}/state/{q(event_type)}/{q(state_key)}", content)["event_id"])

    def state(self, room: str) -> dict[tuple[str, str], str]:
        """The room's state as this person's server has it: event ids by key."""
        events = self.ask("GET", f"/rooms/{q(room)}/state")
        return {(event["type"], event["state_key"]): event["event_id"] for event in events}

    def members(self, room: str) -> set[str]:
        return set(self.ask("GET", f"/rooms/{q(room)}/joined_members")["joined"])

    def sync(self, timeout_ms: int = 0) -> dict[str, Any]:
        query: dict[str, Any] = {"timeout": timeout_ms}
        if self._since is not None:
            query["since"] = self._since
        answer: dict[str, Any] = self.ask("GET", "/sync", **query)
        self._since = answer["next_batch"]
        for room_id, part in [*_section(answer, "join").items(), *_section(answer, "leave").items()]:
            self.timeline += [(room_id, event) for event in part["timeline"]["events"]]
        self.answers.append(answer)
        return answer

    def sync_until(self, what: str, found: Callable[[dict[str, Any]], Any]) -> Any:
        """Syncs until an answer has it; gives what `found` found. Answers that came before are looked at first."""
        looked = 0
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for answer in self.answers[looked:]:
                if result := found(answer):
                    return result
            looked = len(self.answers)
            assert time.monotonic() < deadline, f"{self.user_id} never heard of {what}: {self.answers[-3:]}"
            self.sync(2_000)

    def hears_event(self, room: str, matches: Callable[[Event], bool], what: str) -> Event:
        def find(answer: dict[str, Any]) -> Event | None:
            events = _section(answer, "join").get(room, {}).get("timeline", {}).get("events", [])
            return next((event for event in events if matches(event)), None)

        event: Event = self.sync_until(what, find)
        return event

    def hears(self, room: str, body: str) -> Event:
        return self.hears_event(room, lambda event: event["content"].get("body") == body, f"the message {body!r}")

    def hears_state(self, room: str, event_type: str, state_key: str = "", **content: Any) -> None:
        """Until the room's state on this person's server has this content."""

        def is_so() -> bool:
            try:
                now = self.ask("GET", f"/rooms/{q(room)}/state/{q(event_type)}/{q(state_key)}")
            except Refused as refused:
                assert refused.status == 404, refused
                return False
            return all(now.get(name) == value for name, value in content.items())

        self.until(f"{event_type} {content}", is_so)

    def until(self, what: str, is_so: Callable[[], Any]) -> Any:
        """Asks again after each sync: for what is true some time after an event has come."""
        deadline = time.monotonic() + PATIENCE_S
        while not (result := is_so()):
            assert time.monotonic() < deadline, f"{self.user_id}: it never came to {what}"
            self.sync(200)
        return result

    def messages(self, room: str) -> list[Event]:
        """The room's history, newest first, as far as it is to be had."""
        found: list[Event] = []
        query: dict[str, Any] = {"dir": "b", "limit": 50}
        while True:
            page = self.ask("GET", f"/rooms/{q(room)}/messages", **query)
            found += page["chunk"]
            if "end" not in page or page["end"] == query.get("from"):
                return found
            query["from"] = page["end"]


def _section(answer: dict[str, Any], name: str) -> dict[str, Any]:
    section: dict[str, Any] = answer.get("rooms", {}).get(name, {})
    return section


def q(text: str) -> str:
    """A path segment."""
    return quote(text, safe="")
