"""Two people with real clients who meet in an encrypted room, and verify each other."""

from typing import Any

from attrs import frozen

from tests.interop.clients import RealClient


@frozen
class Chat:
    """Two users in one encrypted room, each with one device."""

    js: RealClient
    nio: RealClient
    room_id: str

    def other(self, client: RealClient) -> RealClient:
        return self.nio if client is self.js else self.js

    def says(self, speaker: RealClient, content: dict[str, Any]) -> dict[str, Any]:
        """Sends a message, and gives it as the other client reads it."""
        event_id = speaker.do("send", room_id=self.room_id, content=content)["event_id"]
        read: dict[str, Any] = self.other(speaker).do("await_event", room_id=self.room_id, event_id=event_id)
        return read


def meet(alice: RealClient, bob: RealClient) -> Chat:
    alice.do("start")
    bob.do("start")
    room_id = alice.do("create_room", invite=[bob.user_id], encrypted=True)["room_id"]
    bob.do("join", room_id=room_id)
    for one, other in ((alice, bob), (bob, alice)):
        one.do("await_member", room_id=room_id, user_id=other.user_id)
        one.do("await_device", user_id=other.user_id, device_id=other.device_id)
    return Chat(alice, bob, room_id)


def verify(asking: RealClient, asked: RealClient) -> None:
    """One asks, the other accepts; both see the same string, and say so."""
    words = asking.do("request_verification", user_id=asked.user_id, device_id=asked.device_id)
    transaction = {"transaction_id": words["transaction_id"]}
    assert asked.do("accept_verification", user_id=asking.user_id) == words
    started = asking.begin("start_sas", **transaction)
    asked.do("accept_sas", **transaction)
    started.result()
    strings = [client.begin("short_auth_string", **transaction) for client in (asking, asked)]
    one, other = (string.result() for string in strings)
    assert one == other
    for confirmed in [client.begin("confirm_sas", **transaction) for client in (asking, asked)]:
        confirmed.result()


def trusts(one: RealClient, other: RealClient) -> bool:
    return bool(one.do("trust", user_id=other.user_id, device_id=other.device_id)["verified"])


def text(body: str) -> dict[str, str]:
    return {"msgtype": "m.text", "body": body}
