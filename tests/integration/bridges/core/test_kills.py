"""The bridge killed amid what takes several steps: files, older messages, signing in."""

import pytest
import pytest_twisted
from attrs import evolve

from appservice.bridges.core.incoming import Part
from tests.integration.bridges.core.scenes import comes_to, opened
from tests.integration.bridges.core.test_crash import Killer
from tests.integration.bridges.core.test_history import bodies
from tests.integration.bridges.core.test_messages import PNG, upload
from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import Client

inlined = pytest_twisted.ensureDeferred


async def pictures(client: Client, town: Town, room: str) -> list[str]:
    events = await town.events(client, room)
    return [event["content"]["filename"] for event in events if event["content"].get("msgtype") == "m.image"]


@pytest.mark.parametrize("at", [1, 3, 4, 6, 8])
@inlined
async def test_killed_while_files_are_copied_each_is_there_once(town: Town, at: int) -> None:
    alice, room = await opened(town)
    mxc = await upload(alice, PNG)
    file = town.remote.add_file("cat.png", PNG)
    killer = Killer(town, at)
    town.remote.say("C1", "U1", parts=(Part(content={"body": "in"}), Part(id="file", file=file)))
    content = {"msgtype": "m.image", "body": "out", "filename": "dog.png", "url": mxc, "info": {"w": 1, "h": 1}}
    await alice.send_event(room, "m.room.message", content)
    await killer.restart()
    await until(lambda: len(town.remote.messages("C1")) >= 2)
    await town.settle("C1", alice, room)
    assert sorted(await pictures(alice, town, room)) == ["cat.png", "dog.png"], killer.steps
    sent = [message.parts[0].content for message in town.remote.messages("C1")]
    assert [one["file"] for one in sent if "file" in one] == [PNG], killer.steps


@pytest.mark.parametrize("at", [1, 2, 3, 5, 7, 9])
@inlined
async def test_killed_while_older_messages_are_brought_each_is_there_once(town: Town, at: int) -> None:
    town.settings = evolve(town.settings, backfill=evolve(town.settings.backfill, initial=2))
    await town.bridge.stop()
    await town.restart()
    town.remote.add_channel("C1", "general", ["U1", "U2"])
    said = [f"old {number}" for number in range(9)]
    for number, text in enumerate(said):
        town.remote.say("C1", f"U{1 + number % 2}", text)
    await until(lambda: town.remote.is_delivered)
    await town.bridge.parts.inbox.idle()
    admin = await town.user("admin")
    room = await town.open("C1", admin)

    async def shown() -> object:
        return [text for text in await bodies(town, admin, room) if text.startswith("old ")]

    await comes_to(shown, said[-2:])
    killer = Killer(town, at)
    await admin.send(room, "!fake backfill 100")
    await killer.restart()
    await comes_to(shown, said)
    await town.settle("C1", admin, room)
    assert await shown() == said, killer.steps


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
@inlined
async def test_killed_while_somebody_signs_in_they_are_signed_in_and_nobody_sees_the_secret(
    town: Town, at: int
) -> None:
    town.remote.add_person("A1", "Alice there")
    alice, room = await opened(town, "U1", "A1")
    control = await town.management_room(alice)
    await town.command(alice, control, "login token")
    killer = Killer(town, at)
    await alice.send(control, "token-A1")
    await killer.restart()
    await town.says(alice, control, "You have signed in as")
    assert "Alice there" in await town.command(alice, control, "status")
    said = await town.messages(alice, control)
    assert not [text for text in said if "token-A1" in text], killer.steps
    assert len([text for text in said if "have signed in" in text]) == 1, killer.steps
    await alice.send(room, "as myself")
    await until(lambda: town.remote.texts("C1")[-1:] == ["A1: as myself"])
