"""After a long time without connection, where Slack gives history newest first and slowly."""

import pytest
from attrs import evolve

from appservice.bridges.slack import history
from tests.integration.bridges.slack.town import SlackTown


def quiet(town: SlackTown, look_back: int) -> None:
    """Slack gives up telling of it; and what is read back is little."""
    town.slack.server.sockets.retry_after_s = (0.0,)
    town.settings = evolve(town.settings, backfill=evolve(town.settings.backfill, look_back=look_back))


async def test_more_than_is_held_at_once_comes_in_order(town: SlackTown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_MISSED", 5)
    monkeypatch.setattr(history, "PAGE", 4)
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, "before")
    await town.says(alice, room, "before")
    await town.bridge.kill()
    quiet(town, 3)
    wanted = [f"missed {number:02}" for number in range(17)]
    for text in wanted:
        town.maria.post(town.general, text)
    await town.restart()
    await town.says(alice, room, wanted[-1])
    said = [body.partition(": ")[2] for body in await town.messages(alice, room)]
    assert [text for text in said if text != ""] == ["before", *wanted]


async def test_a_thread_of_a_message_behind_hundreds_goes_on(town: SlackTown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "THREADS_LOOKED_AT", 3)
    monkeypatch.setattr(history, "PAGE", 4)
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    root = town.maria.post(town.general, "root")
    await town.says(alice, room, "root")
    await town.bridge.kill()
    quiet(town, 3)
    for number in range(11):
        town.joe.post(town.general, f"missed {number:02}")
    town.joe.post(town.general, "in the thread", thread=root)
    await town.restart()
    leaf = await town.says(alice, room, "in the thread")
    assert leaf["content"]["m.relates_to"]["event_id"] == (await town.says(alice, room, "root"))["event_id"]
