"""Messages through core alone, in both directions: texts, edits, deletions, replies, threads, files."""

import pytest_twisted

from appservice.bridges.core.incoming import Part, RemoteFile
from tests.integration.bridges.core.scenes import comes_to, event_like, opened
from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c626001000000050001"
    "0d0a2db40000000049454e44ae426082"
)


async def upload(client: Client, content: bytes, mimetype: str = "image/png") -> str:
    response = await client.hs.http.request(
        "POST", "/_matrix/media/v3/upload", body=content, token=client.token, headers={"Content-Type": mimetype}
    )
    return str(response.json["content_uri"])


@inlined
async def test_a_message_of_the_network_is_a_ghosts(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "hello")
    event = await town.says(alice, room, "hello")
    assert event["sender"] == "@fake__u1:hearth.test"
    assert event["content"]["msgtype"] == "m.text"
    assert event["origin_server_ts"] == town.remote.messages("C1")[0].sent_ms


@inlined
async def test_a_ghost_has_the_name_and_face_of_the_person(town: Town) -> None:
    town.remote.add_person("U1", "Ursula", PNG)
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "hello")
    await town.says(alice, room, "hello")
    profile = await alice.get(f"/profile/{q(town.ghost('U1'))}")
    assert profile["displayname"] == "Ursula"
    assert profile["avatar_url"].startswith("mxc://hearth.test/")


@inlined
async def test_a_message_of_matrix_is_relayed_under_its_writers_name(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send(room, "hello there")
    await until(lambda: town.remote.texts("C1") == ["alice: hello there"])


@inlined
async def test_nothing_comes_back(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "from there")
    await alice.send(room, "from here")
    await town.settle("C1", alice, room)
    said = [text for text in await town.messages(alice, room) if "mark" not in text]
    assert sorted(said) == ["@alice:hearth.test: from here", "@fake__u1:hearth.test: from there"]
    there = [text for text in town.remote.texts("C1") if "mark" not in text]
    assert sorted(there) == ["U1: from there", "alice: from here"]


@inlined
async def test_what_is_delivered_twice_comes_over_once(town: Town) -> None:
    town.remote.is_doubling = True
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "once")
    await town.settle("C1", alice, room)
    assert [text for text in await town.messages(alice, room) if "once" in text] == ["@fake__u1:hearth.test: once"]


@inlined
async def test_a_message_becomes_as_many_events_as_it_has_parts(town: Town) -> None:
    alice, room = await opened(town)
    file = town.remote.add_file("cat.png", PNG)
    town.remote.say("C1", "U1", parts=(Part(content={"body": "look"}), Part(id="file", file=file)))
    await town.says(alice, room, "look")
    event = await event_like(town, alice, room, lambda event: event["content"].get("msgtype") == "m.image")
    assert event["content"]["filename"] == "cat.png"
    assert event["content"]["info"] == {"mimetype": "image/png", "size": len(PNG), "w": 1, "h": 1}


@inlined
async def test_an_edit_of_the_network_is_an_edit(town: Town) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "helo")
    first = await town.says(alice, room, "helo")
    town.remote.edit(message, "hello")
    event = await event_like(town, alice, room, lambda event: "m.new_content" in event["content"])
    assert event["content"]["m.new_content"]["body"] == "hello"
    assert event["content"]["m.relates_to"] == {"rel_type": "m.replace", "event_id": first["event_id"]}
    assert event["sender"] == first["sender"]


@inlined
async def test_parts_come_and_go_with_an_edit(town: Town) -> None:
    alice, room = await opened(town)
    file = town.remote.add_file("cat.png", PNG)
    message = town.remote.say("C1", "U1", parts=(Part(content={"body": "look"}), Part(id="old", file=file)))
    old = await event_like(town, alice, room, lambda event: event["content"].get("msgtype") == "m.image")
    note = town.remote.add_file("note.txt", b"a note", "text/plain")
    town.remote.edit(message, "", parts=(Part(content={"body": "look"}), Part(id="new", file=note)))
    await event_like(town, alice, room, lambda event: event["content"].get("msgtype") == "m.file")
    gone = {"event_id": old["event_id"], "content": {}}
    await event_like(town, alice, room, lambda event: gone.items() <= event.items())
    events = await town.events(alice, room)
    assert not any("m.new_content" in event["content"] for event in events), "the text is the same"


@inlined
async def test_a_deletion_of_the_network_redacts_all_parts(town: Town) -> None:
    alice, room = await opened(town)
    file = town.remote.add_file("cat.png", PNG)
    message = town.remote.say("C1", "U1", parts=(Part(content={"body": "look"}), Part(id="file", file=file)))
    await event_like(town, alice, room, lambda event: event["content"].get("msgtype") == "m.image")
    town.remote.delete(message)
    await town.settle("C1", alice, room)
    sent = [event for event in await town.events(alice, room) if event["type"] == "m.room.message"]
    assert [event["content"] for event in sent if event["sender"] == town.ghost("U1")][:2] == [{}, {}]


@inlined
async def test_an_edit_in_matrix_edits_the_message(town: Town) -> None:
    alice, room = await opened(town)
    event_id = await alice.send(room, "helo")
    new = {"msgtype": "m.text", "body": "hello"}
    relation = {"rel_type": "m.replace", "event_id": event_id}
    await alice.send(room, "* hello", **{"m.new_content": new, "m.relates_to": relation})
    await until(lambda: town.remote.texts("C1") == ["alice: hello"])
    await town.settle("C1", alice, room)
    assert not [text for text in await town.messages(alice, room) if text.startswith("@fake_") and "hello" in text]


@inlined
async def test_a_redaction_in_matrix_deletes_the_message(town: Town) -> None:
    alice, room = await opened(town)
    event_id = await alice.send(room, "oops")
    await until(lambda: town.remote.texts("C1") == ["alice: oops"])
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(event_id)}/t1", {})
    await until(lambda: town.remote.texts("C1") == [])


@inlined
async def test_a_reply_of_the_network_is_a_reply(town: Town) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "question")
    town.remote.say("C1", "U1", "answer", reply_to=message.id)
    question = await town.says(alice, room, "question")
    answer = await town.says(alice, room, "answer")
    assert answer["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": question["event_id"]}}


@inlined
async def test_who_is_answered_is_mentioned(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send(room, "question")
    await until(lambda: town.remote.messages("C1"))
    town.remote.say("C1", "U1", "answer", reply_to=town.remote.messages("C1")[0].id)
    answer = await town.says(alice, room, "answer")
    assert answer["content"]["m.mentions"] == {"user_ids": [alice.user_id]}


@inlined
async def test_a_reply_in_matrix_is_a_reply(town: Town) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "question")
    question = await town.says(alice, room, "question")
    relation = {"m.in_reply_to": {"event_id": question["event_id"]}}
    await alice.send(room, "> <@fake__u1:hearth.test> question\n\nanswer", **{"m.relates_to": relation})
    await until(lambda: town.remote.texts("C1") == ["U1: question", "alice: answer"])
    assert town.remote.messages("C1")[-1].reply_to == message.id


@inlined
async def test_a_thread_of_the_network_is_a_thread(town: Town) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "root")
    town.remote.say("C1", "U1", "in it", thread=message.id)
    town.remote.say("C1", "U1", "in it too", thread=message.id)
    root, first = await town.says(alice, room, "root"), await town.says(alice, room, "in it")
    relation = (await town.says(alice, room, "in it too"))["content"]["m.relates_to"]
    assert relation["rel_type"] == "m.thread"
    assert relation["event_id"] == root["event_id"]
    assert relation["is_falling_back"] is True
    assert relation["m.in_reply_to"] == {"event_id": first["event_id"]}


@inlined
async def test_a_thread_in_matrix_is_a_thread(town: Town) -> None:
    alice, room = await opened(town)
    root = await alice.send(room, "root")
    await alice.send(room, "in it", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    await alice.send(room, "in it too", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    await until(lambda: len(town.remote.messages("C1")) == 3)
    first, *rest = town.remote.messages("C1")
    assert [each.thread for each in rest] == [first.id, first.id]
    town.remote.say("C1", "U1", "from there", thread=first.id)
    event = await town.says(alice, room, "from there")
    assert event["content"]["m.relates_to"]["event_id"] == root


@inlined
async def test_a_file_of_matrix_goes_over_with_its_caption(town: Town) -> None:
    alice, room = await opened(town)
    url = await upload(alice, PNG)
    content = {"msgtype": "m.image", "body": "my cat", "filename": "cat.png", "url": url, "info": {"w": 1, "h": 1}}
    await alice.send_event(room, "m.room.message", content)
    await until(lambda: town.remote.messages("C1"))
    sent = town.remote.messages("C1")[0].parts[0].content
    assert sent == {"body": "my cat", "kind": "file", "file": PNG, "name": "cat.png"}


@inlined
async def test_a_sticker_of_matrix_goes_over(town: Town) -> None:
    alice, room = await opened(town)
    url = await upload(alice, PNG)
    await alice.send_event(room, "m.sticker", {"body": "wave", "url": url, "info": {"mimetype": "image/png"}})
    await until(lambda: town.remote.messages("C1"))
    sent = town.remote.messages("C1")[0].parts[0].content
    assert (sent["kind"], sent["name"], sent["file"]) == ("sticker", "wave.png", PNG)


@inlined
async def test_a_sticker_of_the_network_is_a_sticker(town: Town) -> None:
    alice, room = await opened(town)
    file = town.remote.add_file("wave.png", PNG)
    part = Part(event_type="m.sticker", content={"body": "wave"}, file=file)
    town.remote.say("C1", "U1", parts=(part,))
    town.remote.say("C1", "U1", parts=(part,))
    await town.settle("C1", alice, room)
    stickers = [event["content"] for event in await town.events(alice, room) if event["type"] == "m.sticker"]
    assert len(stickers) == 2
    assert stickers[0]["url"] == stickers[1]["url"], "it is copied once"
    assert "msgtype" not in stickers[0]


@inlined
async def test_a_file_that_is_too_large_is_told_of(town: Town) -> None:
    alice, room = await opened(town)
    huge = RemoteFile(id="F-huge", name="film.mp4", mimetype="video/mp4", size_bytes=10**12)
    town.remote.say("C1", "U1", parts=(Part(content={"body": "my film"}, file=huge),))
    event = await town.says(alice, room, "my film")
    assert event["content"]["body"] == "my film\n[film.mp4: the file is larger than 100 MB]"
    town.remote.file_bytes_limit = 10
    url = await upload(alice, PNG)
    await alice.send_event(room, "m.room.message", {"msgtype": "m.image", "body": "cat.png", "url": url})
    notice = await town.says(alice, room, "did not reach Fakechat")
    assert "larger" in notice["content"]["body"]


@inlined
async def test_mentions_links_and_emoji_mean_the_same_on_both_sides(town: Town) -> None:
    town.remote.add_emoji("party", PNG)
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "ask <@U1> in <#C1> :party:")
    event = await town.says(alice, room, "ask U1")
    assert event["content"]["m.mentions"] == {"user_ids": [town.ghost("U1")]}
    await alice.send_event(room, "m.room.message", {**event["content"], "msgtype": "m.text"})
    await until(lambda: "alice: ask <@U1> in <#C1> :party:" in town.remote.texts("C1"))


@inlined
async def test_an_emote_stays_one(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send_event(room, "m.room.message", {"msgtype": "m.emote", "body": "waves"})
    await until(lambda: town.remote.messages("C1"))
    assert town.remote.messages("C1")[0].parts[0].content["kind"] == "emote"


@inlined
async def test_messages_of_one_channel_keep_their_order(town: Town) -> None:
    alice, room = await opened(town)
    for number in range(20):
        town.remote.say("C1", "U1", f"in {number}")
        await alice.send(room, f"out {number}")
    await town.settle("C1", alice, room)
    said = await town.messages(alice, room)
    assert [text for text in said if ": in " in text] == [f"{town.ghost('U1')}: in {n}" for n in range(20)]
    there = town.remote.texts("C1")
    assert [text for text in there if ": out " in text] == [f"alice: out {n}" for n in range(20)]


@inlined
async def test_an_encrypted_message_is_refused_once(town: Town) -> None:
    alice, room = await opened(town)
    for _ in range(2):
        await alice.send_event(room, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"})
    await town.settle("C1", alice, room)
    await comes_to(lambda: _count(town, alice, room, "cannot read encrypted"), 1)


async def _count(town: Town, client: Client, room: str, text: str) -> int:
    return sum(text in each for each in await town.messages(client, room))
