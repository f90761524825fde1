"""Two people with clients that nobody here wrote: matrix-js-sdk with its Rust cryptography, and matrix-nio with libolm.

They share no code: what they agree on went through the homeserver unharmed.
"""

import base64
import os
from typing import Any

import pytest

from tests.interop.chats import Chat, meet, text, trusts, verify
from tests.interop.clients import Kind, RealClient, Refused
from tests.interop.conftest import NewClient, NewUser

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def strangers(js: Kind, nio: Kind, new_user: NewUser) -> Chat:
    """Two who share an encrypted room, and have not verified each other, unless `chat` was asked for already."""
    return meet(new_user(js), new_user(nio))


@pytest.fixture(scope="module")
def chat(strangers: Chat) -> Chat:
    """The same two, after a verification."""
    verify(strangers.js, strangers.nio)
    return strangers


@pytest.fixture
def other_chat(js: Kind, nio: Kind, new_user: NewUser) -> Chat:
    """Two more, after a verification, for one test: nio will not send any more after it has seen a new device."""
    pair = meet(new_user(js), new_user(nio))
    verify(pair.nio, pair.js)
    return pair


def test_nobody_is_trusted_before_a_verification(strangers: Chat) -> None:
    assert not trusts(strangers.js, strangers.nio)
    assert not trusts(strangers.nio, strangers.js)
    with pytest.raises(Refused, match="OlmUnverifiedDeviceError"):
        strangers.nio.do("send", room_id=strangers.room_id, content=text("to a stranger"))


def test_they_verify_each_other_when_js_asks(chat: Chat) -> None:
    assert trusts(chat.js, chat.nio)
    assert trusts(chat.nio, chat.js)


def test_they_verify_each_other_when_nio_asks(other_chat: Chat) -> None:
    assert trusts(other_chat.js, other_chat.nio)
    assert trusts(other_chat.nio, other_chat.js)


@pytest.mark.parametrize("speaker", ["js", "nio"])
def test_a_message_is_read_by_the_other(chat: Chat, speaker: str) -> None:
    read = chat.says(getattr(chat, speaker), text("the cat is out of the bag"))
    assert read["content"]["body"] == "the cat is out of the bag"
    assert read["encrypted"]


def test_nio_knows_a_message_to_be_the_verified_devices(chat: Chat) -> None:
    assert chat.says(chat.js, text("it is I"))["verified"]


@pytest.mark.parametrize("speaker", ["js", "nio"])
def test_the_server_sees_no_word_of_it(chat: Chat, speaker: str) -> None:
    event_id = chat.says(getattr(chat, speaker), text("between us"))["event_id"]
    event = chat.js.do("call", name="fetchRoomEvent", args=[chat.room_id, event_id])
    assert event["type"] == "m.room.encrypted"
    assert "between us" not in str(event)


def test_nio_reads_what_js_edited(chat: Chat) -> None:
    original = chat.says(chat.js, text("teh cat"))["event_id"]
    edit = chat.says(chat.js, edited(original, "the cat"))
    assert edit["encrypted"]
    assert edit["content"]["m.new_content"]["body"] == "the cat"
    assert edit["content"]["m.relates_to"] == {"rel_type": "m.replace", "event_id": original}


def test_js_shows_what_nio_edited_in_place_of_the_original(chat: Chat) -> None:
    original = chat.says(chat.nio, text("teh dog"))["event_id"]
    chat.says(chat.nio, edited(original, "the dog"))
    assert chat.js.do("await_text", room_id=chat.room_id, event_id=original, body="the dog")["event_id"] == original


def test_nio_hears_of_a_reaction_of_js(chat: Chat) -> None:
    event_id = chat.says(chat.nio, text("dinner at eight?"))["event_id"]
    reaction = reacted(event_id, "👍")
    sent = chat.js.do("send", room_id=chat.room_id, type="m.reaction", content=reaction)["event_id"]
    read = chat.nio.do("await_event", room_id=chat.room_id, event_id=sent)
    assert (read["type"], read["content"]) == ("m.reaction", reaction)


def test_js_counts_a_reaction_of_nio(chat: Chat) -> None:
    event_id = chat.says(chat.js, text("tea?"))["event_id"]
    chat.nio.do("send", room_id=chat.room_id, type="m.reaction", content=reacted(event_id, "☕"))
    assert chat.js.do("await_reaction", room_id=chat.room_id, event_id=event_id, key="☕") == [chat.nio.user_id]


def test_a_redaction_of_js_reaches_nio(chat: Chat) -> None:
    event_id = chat.says(chat.js, text("forget this"))["event_id"]
    chat.js.do("call", name="redactEvent", args=[chat.room_id, event_id, None, {"reason": "a slip"}])
    redaction = chat.nio.do("await_redaction", room_id=chat.room_id, event_id=event_id)
    assert redaction == {"sender": chat.js.user_id, "reason": "a slip"}
    assert chat.nio.do("get_event", room_id=chat.room_id, event_id=event_id)["content"] == {}


def test_a_redaction_of_nio_reaches_js(chat: Chat) -> None:
    event_id = chat.says(chat.nio, text("forget that"))["event_id"]
    chat.nio.do("call", name="room_redact", args={"room_id": chat.room_id, "event_id": event_id, "reason": "a slip"})
    redacted = chat.js.do("await_redaction", room_id=chat.room_id, event_id=event_id)
    assert redacted["redacted"]
    assert redacted["content"] == {}


@pytest.mark.parametrize("sender", ["js", "nio"])
def test_a_file_arrives_as_it_was(chat: Chat, sender: str) -> None:
    giver = getattr(chat, sender)
    content = base64.b64encode(os.urandom(300_000)).decode()
    event_id = giver.do("send_file", room_id=chat.room_id, base64=content, name="plan.bin")["event_id"]
    message = chat.other(giver).do("await_event", room_id=chat.room_id, event_id=event_id)
    assert message["encrypted"]
    assert message["content"]["body"] == "plan.bin"
    assert chat.other(giver).do("fetch_file", file=message["content"]["file"])["base64"] == content


def test_js_reads_old_messages_on_a_new_device_after_it_restored_the_backup(
    other_chat: Chat, js: Kind, new_client: NewClient
) -> None:
    bodies = {
        other_chat.says(speaker, text(f"old news of {speaker.user_id}"))["content"]["body"]
        for speaker in both(other_chat)
    }
    recovery_key = other_chat.js.do("set_up_recovery")["recovery_key"]
    assert other_chat.js.do("await_backup")["algorithm"] == "m.megolm_backup.v1.curve25519-aes-sha2"

    device = new_device(other_chat.js, js, new_client)
    assert not bodies & read_bodies(device, other_chat.room_id)
    restored = device.do("recover", recovery_key=recovery_key)
    assert restored["imported"] == restored["total"] >= 2
    assert restored["cross_signing_ready"]
    assert bodies <= read_bodies(device, other_chat.room_id)
    # The new device has signed itself with the keys from secret storage: the old one trusts it without a word.
    other_chat.js.do("await_device", user_id=device.user_id, device_id=device.device_id)
    assert trusts(other_chat.js, device)


def test_nio_reads_old_messages_on_a_new_device_after_it_restored_the_backup(
    other_chat: Chat, nio: Kind, new_client: NewClient
) -> None:
    bodies = {
        other_chat.says(speaker, text(f"news for {speaker.user_id}"))["content"]["body"] for speaker in both(other_chat)
    }
    backup = other_chat.nio.do("back_up")
    assert backup["count"] == backup["exported"] >= 2

    device = new_device(other_chat.nio, nio, new_client)
    assert not bodies & read_bodies(device, other_chat.room_id)
    restored = device.do("restore", recovery_key=backup["recovery_key"])
    assert restored["imported"] == restored["total"] == backup["count"]
    assert bodies <= read_bodies(device, other_chat.room_id)


def both(chat: Chat) -> tuple[RealClient, RealClient]:
    return chat.js, chat.nio


def new_device(client: RealClient, kind: Kind, new_client: NewClient) -> RealClient:
    """The same user signed in once more, with an empty crypto store."""
    device = new_client(kind)
    device.sign_in(client.user_id)
    assert device.device_id != client.device_id
    device.do("start")
    return device


def read_bodies(client: RealClient, room_id: str) -> set[str]:
    """The texts of the whole room that the client can read."""
    events = client.do("history", room_id=room_id, limit=50)["events"]
    return {event["content"].get("body", "") for event in events if not event["failed"]}


def edited(event_id: str, body: str) -> dict[str, Any]:
    return {
        **text(f"* {body}"),
        "m.new_content": text(body),
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }


def reacted(event_id: str, key: str) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": key}}
