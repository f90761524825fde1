"""Channels, people and what passes, both ways: Slack <-> the bridge <-> Hearth."""

from tests.integration.bridges.slack.town import TEAM, SlackTown
from tests.support.bridges import SECRET
from tests.support.homeserver import q


async def test_the_room_of_a_channel_is_like_the_channel(town: SlackTown) -> None:
    town.maria.set_topic(town.general, "all of it")
    ts = town.maria.post(town.general, "important")
    town.maria.pin(town.general, ts)
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    assert (await town.state(alice, room, "m.room.name"))["name"] == "general"
    assert (await town.state(alice, room, "m.room.topic"))["topic"] == "all of it"
    members = (await alice.get(f"/rooms/{q(room)}/joined_members"))["joined"]
    assert {town.ghost_of(town.maria), town.ghost_of(town.joe)} <= set(members)
    event = await town.says(alice, room, "important")
    await town.until_state(alice, room, "m.room.pinned_events", lambda pins: pins["pinned"] == [event["event_id"]])


async def test_names_and_topics_both_ways(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.rename(town.general, "plaza")
    town.maria.set_topic(town.general, "a &lt; b")
    await town.until_state(alice, room, "m.room.name", lambda content: content["name"] == "plaza")
    await town.until_state(alice, room, "m.room.topic", lambda content: content["topic"] == "a < b")
    await alice.set_state(room, "m.room.topic", {"topic": "from matrix"})
    await town.until(lambda: town.general.topic["value"] == "from matrix", "the topic in Slack")


async def test_members_both_ways(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    ana = town.slack.add_person("ana")
    ana.join(town.general)
    joined = lambda content: content["membership"] == "join"  # noqa: E731
    await town.until_state(alice, room, "m.room.member", joined, town.ghost_of(ana))
    ana.leave(town.general)
    left = lambda content: content["membership"] == "leave"  # noqa: E731
    await town.until_state(alice, room, "m.room.member", left, town.ghost_of(ana))


async def test_pins_both_ways(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    ts = town.maria.post(town.general, "important")
    event = await town.says(alice, room, "important")
    town.maria.pin(town.general, ts)
    await town.until_state(alice, room, "m.room.pinned_events", lambda pins: pins["pinned"] == [event["event_id"]])
    town.maria.unpin(town.general, ts)
    await town.until_state(alice, room, "m.room.pinned_events", lambda pins: pins["pinned"] == [])
    await alice.set_state(room, "m.room.pinned_events", {"pinned": [event["event_id"]]})
    await town.until(lambda: town.general.pins == [ts], "pinned in Slack")
    await alice.set_state(room, "m.room.pinned_events", {"pinned": []})
    await town.until(lambda: town.general.pins == [], "no pin in Slack")


async def test_people_change_their_names_and_faces(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, "hello")
    await town.says(alice, room, "hello")
    town.maria.change_profile(
        display_name="Maria 🌻", image_512=f"{town.slack.url}/avatars/new.png", image_original=None
    )

    async def look() -> bool:
        profile = await alice.get(f"/profile/{q(town.ghost_of(town.maria))}")
        return profile.get("displayname") == "Maria 🌻" and profile.get("avatar_url", "").startswith("mxc://")

    await town.eventually(look, "the new name")


async def test_typing_presence_and_receipts_of_a_login(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    await town.log_in(alice, town.slack.browser(town.app, town.joe))
    await town.until(lambda: town.slack.server.rtm.listeners, "the login's connection")
    await alice.sync()
    town.maria.type_in(town.general)

    async def typing() -> bool:
        rooms = (await alice.sync()).get("rooms", {}).get("join", {})
        events = rooms.get(room, {}).get("ephemeral", {}).get("events", [])
        return any(town.ghost_of(town.maria) in event["content"].get("user_ids", []) for event in events)

    await town.eventually(typing, "maria types")
    seen: list[object] = []
    town.slack.core.world.listeners.append(lambda event, channel: seen.append((event["type"], event.get("user"))))
    await alice.ok("PUT", f"/rooms/{q(room)}/typing/{q(alice.user_id)}", {"typing": True, "timeout": 5000})
    await town.until(lambda: ("user_typing", town.joe.id) in seen, "alice types in Slack")
    ts = town.maria.post(town.general, "read me")
    event = await town.says(alice, room, "read me")
    await alice.ok("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event['event_id'])}", {})
    await town.until(lambda: town.general.last_read.get(town.joe.id) == ts, "read in Slack")


async def test_presence_comes_in(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.is_now("active")
    town.maria.post(town.general, "hello")
    await town.says(alice, room, "hello")
    await town.network_of_slack._connections._look_at_presence()

    async def look() -> bool:
        answer = await alice.ask("GET", f"/presence/{q(town.ghost_of(town.maria))}/status")
        return answer.status == 200 and answer.json["presence"] == "online"

    await town.eventually(look, "maria is there")


async def test_a_user_who_signs_in_writes_as_themselves_and_is_shown_as_themselves(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    token = town.slack.authorize(town.app, town.joe)
    await town.log_in(alice, token)
    await alice.send(room, "from matrix")
    assert (await town.posted(town.general, "from matrix"))["user"] == town.joe.id
    town.joe.post(town.general, "from slack")
    assert (await town.says(alice, room, "from slack"))["sender"] == alice.user_id
    await town.settle_slack(alice, room, town.general)
    assert [body for body in await town.messages(alice, room) if "from matrix" in body] == [
        f"{alice.user_id}: from matrix"
    ]


async def test_direct_chats_from_either_side(town: SlackTown) -> None:
    alice = await town.user("alice")
    managed = await town.log_in(alice, town.slack.authorize(town.app, town.joe))
    direct = town.maria.open_direct(town.joe)
    town.maria.post(direct, "just us")
    room = await town.portal_of(direct)

    async def invited() -> bool:
        answer = await alice.sync()
        return room in answer.get("rooms", {}).get("invite", {}) or room in answer.get("rooms", {}).get("join", {})

    await town.eventually(invited, "alice is in the direct chat")
    await alice.join(room)

    async def readable() -> bool:
        return (await alice.ask("GET", f"/rooms/{q(room)}/messages", dir="b")).status == 200

    await town.eventually(readable, "alice reads the direct chat")
    await town.says(alice, room, "just us")
    await alice.send(room, "hello maria")
    assert (await town.posted(direct, "hello maria"))["user"] == town.joe.id
    ana = town.slack.add_person("ana")
    await town.command(alice, managed, "chat ana")
    await town.until(
        lambda: any(set(c.members) == {ana.id, town.joe.id} for c in town.slack.core.world.channels.values()),
        "a chat with ana",
    )


async def test_the_workspace_is_a_space_with_its_channels_and_emoji(town: SlackTown) -> None:
    town.slack.do(town.slack.core.acts.add_emoji, "party", f"{town.slack.url}/emoji/party.png")
    admin = await town.user("admin")
    room = await town.open_channel(town.general, admin)
    managed = await town.management_room(admin)
    await town.command(admin, managed, "emoji")
    parents = [
        event["state_key"]
        for event in await admin.get(f"/rooms/{q(room)}/state")
        if event["type"] == "m.space.parent" and event["content"]
    ]
    assert len(parents) == 1
    await admin.join(parents[0])
    children = await town.state(admin, parents[0], "m.space.child", room)
    assert children and children["via"] == ["hearth.test"]
    packs = [e for e in await admin.get(f"/rooms/{q(parents[0])}/state") if e["type"] == "im.ponies.room_emotes"]
    assert "party" in packs[0]["content"]["images"]


async def test_channels_are_bridged_and_unbridged_by_command(town: SlackTown) -> None:
    alice = await town.user("admin")
    managed = await town.management_room(alice)
    await town.command(alice, managed, "bridge #general")
    room = await town.portal_of(town.general)
    await alice.ask("POST", f"/join/{q(room)}", {})
    town.maria.post(town.general, "hello")
    await town.says(alice, room, "hello")
    assert "general" in await town.command(alice, managed, "list")
    assert "Hearth Works" in await town.command(alice, managed, "status")
    assert "general" in await town.command(alice, managed, "search gen")


async def test_a_room_of_ones_own_is_bridged(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await alice.create_room(name="Plaza")
    await alice.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": town.bot_user})
    await town.until_state(alice, room, "m.room.member", lambda content: content["membership"] == "join", town.bot_user)
    await alice.send(room, "!slack bridge #general")
    await town.until(lambda: town.bridge.parts.portals.of_room(room), "the room is bridged")
    await alice.send(room, "plumbed")
    await town.posted(town.general, "plumbed")


async def test_channels_and_people_are_looked_up(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    protocols = await alice.get("/thirdparty/protocols")
    assert protocols["slack"]["user_fields"] == ["user"]
    (location,) = await alice.get("/thirdparty/location/slack", channel="general")
    assert (await alice.get(f"/directory/room/{q(location['alias'])}"))["room_id"] == room
    (person,) = await alice.get("/thirdparty/user/slack", user="maria")
    assert person["userid"] == town.ghost_of(town.maria)
    instance = protocols["slack"]["instances"][0]["instance_id"]
    listed = await alice.ok("POST", "/publicRooms", {"third_party_instance_id": instance})
    assert room in {each["room_id"] for each in listed["chunk"]}


async def test_the_provisioning_api_signs_in_and_opens_channels(town: SlackTown) -> None:
    alice = await town.user("alice")
    who = f"user_id={q(alice.user_id)}"
    assert "Connected to Slack" in str((await town.api("GET", f"/_bridge/v1/status?{who}", token=SECRET)).json)
    ways = (await town.api("GET", f"/_bridge/v1/whoami?{who}", token=SECRET)).json
    assert "token" in str(ways)
    await town.api("POST", f"/_bridge/v1/login/start/token?{who}", {}, token=SECRET)
    token = {"token": town.slack.authorize(town.app, town.joe).text}
    done = await town.api("POST", f"/_bridge/v1/login/step?{who}", token, token=SECRET)
    assert done.json["login"]["name"].startswith("joe")
    found = (await town.api("GET", f"/_bridge/v1/channels?{who}&search=gener", token=SECRET)).json["channels"]
    assert [each["id"] for each in found] == [f"{TEAM}-{town.general.id}"]
    opened = await town.api("POST", f"/_bridge/v1/channels/{found[0]['id']}/open?{who}", {}, token=SECRET)
    await alice.join(opened.json["room_id"])
    await alice.send(opened.json["room_id"], "by the API")
    assert (await town.posted(town.general, "by the API"))["user"] == town.joe.id


async def test_roles_are_power_levels(town: SlackTown) -> None:
    alice = await town.user("alice")
    town.slack.do(town.slack.core.world.users[town.joe.id].update, is_owner=True)
    room = await town.open_channel(town.general, alice)
    power = await town.state(alice, room, "m.room.power_levels")
    assert power["users"][town.ghost_of(town.joe)] > power["users"].get(town.ghost_of(town.maria), 0) > 0


async def test_a_poll_of_matrix_is_answered_by_buttons(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    start = {
        "question": {"org.matrix.msc1767.text": "Lunch?"},
        "kind": "org.matrix.msc3381.poll.disclosed",
        "max_selections": 1,
        "answers": [{"id": "a", "org.matrix.msc1767.text": "Pizza"}, {"id": "b", "org.matrix.msc1767.text": "Soup"}],
    }
    content = {"org.matrix.msc3381.poll.start": start, "org.matrix.msc1767.text": "Lunch?"}
    event_id = await alice.send_event(room, "org.matrix.msc3381.poll.start", content)
    message = await town.posted(town.general, "Lunch?")
    town.joe.click(town.general, message["ts"], "hearth_poll:b")
    vote = await town.find(alice, room, lambda e: e["content"]["org.matrix.msc3381.poll.response"], "a vote")
    assert vote["sender"] == town.ghost_of(town.joe)
    assert vote["content"]["org.matrix.msc3381.poll.response"]["answers"] == ["b"]
    relates = {"rel_type": "m.reference", "event_id": event_id}
    response = {"org.matrix.msc3381.poll.response": {"answers": ["b"]}, "m.relates_to": relates}
    await alice.send_event(room, "org.matrix.msc3381.poll.response", response)
    await town.posted(town.general, lambda each: "Soup  (2)" in each["blocks"][1]["text"]["text"])


async def test_buttons_of_slack_are_answered_from_matrix(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    await town.log_in(alice, town.slack.browser(town.app, town.joe))
    other = town.slack.add_app("Poll App")
    button = {"type": "button", "action_id": "yes", "value": "1", "text": {"type": "plain_text", "text": "Yes"}}
    menu = {"type": "static_select", "action_id": "when", "placeholder": {"type": "plain_text", "text": "When"}}
    menu["options"] = [{"value": "12", "text": {"type": "plain_text", "text": "Noon"}}]
    message = {"bot_id": other.bot_id, "user": other.bot_user_id, "text": "Lunch?"}
    message["blocks"] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": "Lunch?"}},
        {"type": "actions", "block_id": "b", "elements": [button, menu]},
    ]
    town.slack.do(town.slack.core.acts.post, town.general, message)
    event = await town.says(alice, room, "[1] Yes")
    assert "[2] Noon" in event["content"]["body"]
    answer = {"m.relates_to": {"m.in_reply_to": {"event_id": event["event_id"]}}}
    await alice.send(room, "2", **answer)
    await town.until(lambda: other.interactions, "the app hears of it")
    chosen = other.interactions[0]["actions"][0]
    assert (chosen["action_id"], chosen["selected_option"]["value"]) == ("when", "12")
