"""Reactions, buttons and polls through core alone, in both directions."""

from typing import Any

import pytest_twisted

from appservice.bridges.core.ids import ChannelId, MessageId, PersonId
from appservice.bridges.core.incoming import Action, Part, Poll, PollEnded, ReactionsCleared, VoteChanged, Voted
from tests.integration.bridges.core.scenes import comes_to, event_like, opened
from tests.integration.bridges.core.test_messages import PNG
from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred
START = "org.matrix.msc3381.poll.start"


async def reactions(town: Town, client: Client, room: str) -> list[tuple[str, str]]:
    """(who, what)."""
    events = await town.events(client, room)
    return [
        (event["sender"], event["content"]["m.relates_to"]["key"])
        for event in events
        if event["type"] == "m.reaction" and event["content"]
    ]


async def react(client: Client, room: str, event_id: str, key: str, **more: Any) -> str:
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
    return await client.send_event(room, "m.reaction", {"m.relates_to": relation, **more})


def stand(town: Town) -> list[tuple[str, str]]:
    """The reactions of the last message on the network."""
    message = town.remote.messages("C1")[0]
    return [(each.person, each.emoji.id) for each in message.reactions or ()]


@inlined
async def test_a_reaction_of_the_network_comes_and_goes_and_comes(town: Town) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "hello")
    await town.says(alice, room, "hello")
    wanted = [(town.ghost("U1"), "👍")]
    for is_added in (True, False, True):
        town.remote.react(message, "U1", "👍", is_added=is_added)
        await comes_to(lambda: reactions(town, alice, room), wanted if is_added else [])


@inlined
async def test_a_custom_emoji_is_an_image(town: Town) -> None:
    party = town.remote.add_emoji("party", PNG)
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "hello")
    town.remote.react(message, "U1", party)
    event = await event_like(town, alice, room, lambda event: event["type"] == "m.reaction")
    assert event["content"]["m.relates_to"]["key"].startswith("mxc://hearth.test/")
    assert event["content"]["shortcode"] == ":party:"
    hello = await town.says(alice, room, "hello")
    await react(alice, room, hello["event_id"], event["content"]["m.relates_to"]["key"])
    await until(lambda: ("BOT", "E-party") in stand(town))


@inlined
async def test_all_reactions_can_be_cleared(town: Town) -> None:
    alice, room = await opened(town, "U1", "U2")
    message = town.remote.say("C1", "U1", "hello")
    for person in ("U1", "U2"):
        town.remote.react(message, person, "👍")
    await comes_to(lambda: _count(town, alice, room), 2)
    town.remote.emit(ReactionsCleared(channel=ChannelId("C1"), message=message.id), "C1")
    await comes_to(lambda: _count(town, alice, room), 0)


async def _count(town: Town, client: Client, room: str) -> int:
    return len(await reactions(town, client, room))


@inlined
async def test_relayed_reactions_are_the_bots_until_the_last_is_gone(town: Town) -> None:
    alice, room = await opened(town)
    bob = await town.user("bob")
    await bob.join(room)
    town.remote.say("C1", "U1", "hello")
    hello = (await town.says(alice, room, "hello"))["event_id"]
    first = await react(alice, room, hello, "👍")
    second = await react(bob, room, hello, "👍")
    await until(lambda: stand(town) == [("BOT", "👍")])
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(first)}/t1", {})
    await town.settle("C1", alice, room)
    assert stand(town) == [("BOT", "👍")]
    await bob.ok("PUT", f"/rooms/{q(room)}/redact/{q(second)}/t1", {})
    await until(lambda: stand(town) == [])
    assert await reactions(town, alice, room) == []


@inlined
async def test_an_emoji_that_the_network_has_not_is_told_of(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "hello")
    hello = (await town.says(alice, room, "hello"))["event_id"]
    await react(alice, room, hello, "mxc://hearth.test/unknown", shortcode=":what:")
    await town.says(alice, room, "there is no emoji what")


@inlined
async def test_buttons_are_shown_and_pressed_by_number_or_keycap(town: Town) -> None:
    alice, room = await opened(town)
    actions = (
        Action(id="ok", label="Approve"),
        Action(id="page", label="Open", url="https://example.org/"),
        Action(id="size", label="Size", options=(("s", "Small"), ("l", "Large")), max_selections=2),
    )
    town.remote.say("C1", "U1", parts=(Part(content={"body": "Deploy?"}, actions=actions),))
    event = await town.says(alice, room, "Deploy?")
    assert event["content"]["body"].splitlines() == [
        "Deploy?", "[1] Approve", "Open: https://example.org/", "Size:", "[2] Small", "[3] Large",
        "Reply with a number to choose.",
    ]  # fmt: skip
    relation = {"m.relates_to": {"m.in_reply_to": {"event_id": event["event_id"]}}}
    await alice.send(room, "1", **relation)
    await alice.send(room, "2, 3", **relation)
    await react(alice, room, event["event_id"], "1️⃣")
    pressed = [("alice", "ok", []), ("alice", "size", ["s", "l"]), ("alice", "ok", [])]
    await until(lambda: [what for op, what in town.remote.calls if op == "press"] == pressed)
    assert len(town.remote.messages("C1")) == 1, "an answer is no message"
    await alice.send(room, "1 2", **relation)
    await town.says(alice, room, "there is no such choice")


@inlined
async def test_a_poll_of_the_network_is_voted_for_on_both_sides(town: Town) -> None:
    alice, room = await opened(town)
    poll = Poll(question="Tea?", answers=(("a", "Yes"), ("b", "No")), max_selections=2)
    message = town.remote.say("C1", "U1", parts=(Part(poll=poll),))
    event = await event_like(town, alice, room, lambda event: event["type"] == START)
    assert [each["id"] for each in event["content"][START]["answers"]] == ["a", "b"]
    town.remote.emit(Voted(channel=ChannelId("C1"), poll=message.id, person=PersonId("U1"), answers=("a",)), "C1")
    response = await event_like(town, alice, room, lambda event: event["type"].endswith("poll.response"))
    assert response["sender"] == town.ghost("U1")
    assert response["content"]["org.matrix.msc3381.poll.response"] == {"answers": ["a"]}
    relation = {"rel_type": "m.reference", "event_id": event["event_id"]}
    answer = {"m.relates_to": relation, "org.matrix.msc3381.poll.response": {"answers": ["b"]}}
    await alice.send_event(room, "org.matrix.msc3381.poll.response", answer)
    await until(lambda: ("vote", ("alice", message.id, ["b"])) in town.remote.calls)
    town.remote.emit(PollEnded(channel=ChannelId("C1"), poll=message.id, text="Yes won"), "C1")
    end = await event_like(town, alice, room, lambda event: event["type"].endswith("poll.end"))
    assert end["content"]["body"] == "Yes won"


@inlined
async def test_single_votes_add_up(town: Town) -> None:
    alice, room = await opened(town)
    poll = Poll(question="Tea?", answers=(("a", "Yes"), ("b", "No")), max_selections=2)
    message = town.remote.say("C1", "U1", parts=(Part(poll=poll),))
    for answer, is_chosen in (("a", True), ("b", True), ("a", False)):
        vote = VoteChanged(
            channel=ChannelId("C1"), poll=message.id, person=PersonId("U1"), answer=answer, is_chosen=is_chosen
        )
        town.remote.emit(vote, "C1")
    await town.settle("C1", alice, room)
    events = [event for event in await town.events(alice, room) if event["type"].endswith("poll.response")]
    answers = [event["content"]["org.matrix.msc3381.poll.response"]["answers"] for event in events]
    assert answers == [["a"], ["a", "b"], ["b"]]


@inlined
async def test_a_poll_of_matrix_goes_over_and_is_ended(town: Town) -> None:
    alice, room = await opened(town)
    text = "org.matrix.msc1767.text"
    answers = [{"id": "1", text: "Yes"}, {"id": "2", text: "No"}]
    content = {START: {"question": {text: "Tea?"}, "answers": answers, "kind": "org.matrix.msc3381.poll.disclosed"}}
    event_id = await alice.send_event(room, START, content)
    await until(lambda: town.remote.messages("C1"))
    assert town.remote.messages("C1")[0].parts[0].poll == Poll(question="Tea?", answers=(("1", "Yes"), ("2", "No")))
    relation = {"rel_type": "m.reference", "event_id": event_id}
    await alice.send_event(room, "org.matrix.msc3381.poll.end", {"m.relates_to": relation, text: "over"})
    sent = MessageId(town.remote.messages("C1")[0].id)
    await until(lambda: ("end_poll", sent) in town.remote.calls)
