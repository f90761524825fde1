"""One bridge, several workspaces: each with an app, a space and a history of its own, under one address of Slack's."""

from collections.abc import Iterator

import pytest

from appservice.bridges.slack.ids import person_id
from appservice.bridges.slack.settings import WorkspaceOptions
from tests.integration.bridges.slack.town import SlackTown
from tests.support.fake_slack import App, Channel, FakeSlack, Person

OTHER = "T0OTHER"


class Other:
    """The workspace Other Works, with a channel general of its own, and Maria's namesake."""

    def __init__(self, beside: FakeSlack) -> None:
        self.slack = FakeSlack()
        self.slack.core.limits.minute_s = 1.0
        # Ids of events are Slack's, not the workspace's: no two workspaces have the same.
        self.slack.core.world.first_id(1000)
        self.slack.core.world.team.update(id=OTHER, name="Other Works", domain="otherworks")
        self.slack.start()
        self.app: App = self.slack.add_app()
        self.maria: Person = self.slack.add_person("maria")
        self.general: Channel = self.slack.add_channel("general", self.maria, self.app)
        beside.server.neighbours.append(self.slack.server)

    @property
    def options(self) -> WorkspaceOptions:
        return WorkspaceOptions(
            bot_token=self.slack.bot_token(self.app).text, app_token=self.slack.app_token(self.app).text
        )


@pytest.fixture
def other(slack: FakeSlack) -> Iterator[Other]:
    found = Other(slack)
    yield found
    slack.server.neighbours.clear()
    found.slack.stop()


async def both(town: SlackTown, other: Other) -> None:
    await town.bridge.stop()
    await town.restart(more_workspaces=(other.options,))
    await town.until(lambda: other.slack.server.sockets.of(other.app), "the other workspace's socket")


async def test_channels_of_two_workspaces_are_two_rooms_in_two_spaces(town: SlackTown, other: Other) -> None:
    await both(town, other)
    admin = await town.user("admin")
    chat = await town.management_room(admin)
    assert "You are invited" in await town.command(admin, chat, "bridge Hearth Works/#general")
    assert "You are invited" in await town.command(admin, chat, "bridge Other Works/#general")
    here, there = await town.portal_of(town.general), await town.open(f"{OTHER}-{other.general.id}")
    assert here != there
    for room in (here, there):
        await admin.join(room)
    other.maria.post(other.general, "hello from there")
    town.maria.post(town.general, "hello from here")
    event = await town.says(admin, there, "hello from there")
    assert event["sender"] == town.ghost(person_id(OTHER, other.maria.id)) != town.ghost_of(town.maria)
    await town.says(admin, here, "hello from here")
    await admin.send(there, "to you there")
    await town.until(lambda: "to you there" in other.slack.texts(other.general), "the message there")
    assert "to you there" not in str(town.slack.texts(town.general))
    spaces = set()
    for room in (here, there):
        state = await admin.get(f"/rooms/{room}/state")
        spaces |= {each["state_key"] for each in state if each["type"] == "m.space.parent"}
    names = {(await town.state(admin, space, "m.room.name") or {}).get("name") for space in spaces}
    assert len(spaces) == 2, names
    status = await town.command(admin, chat, "status")
    assert "Hearth Works: Socket Mode" in status and "Other Works: Socket Mode" in status


async def test_a_workspace_that_is_lost_is_named_and_the_other_goes_on(town: SlackTown, other: Other) -> None:
    await both(town, other)
    alice = await town.user("alice")
    here = await town.open_channel(town.general, alice)
    there = await town.open(f"{OTHER}-{other.general.id}", alice)
    other.slack.do(other.slack.core.revoke, other.slack.bot_token(other.app))
    await town.bridge.kill()
    await town.restart()
    town.maria.post(town.general, "and yet")
    await town.says(alice, here, "and yet")
    await alice.send(here, "all the same")
    await town.posted(town.general, "all the same")

    async def is_named() -> bool:
        lines = await town.bridge.parts.status.lines("@admin:hearth.test")
        return lines[0].startswith("Not connected to Slack") and "token_revoked" in lines[0]

    await town.eventually(is_named, "the lost workspace")
    assert there != here
