"""What `hearth bridge discord init` says and checks."""

import pytest
import pytest_twisted

from appservice.bridges.core.package import Finding
from appservice.bridges.discord import PACKAGE
from appservice.bridges.discord.permissions import PERMISSIONS, invite_url
from appservice.bridges.discord.settings import DiscordSettings
from synapse_like_config.units import BadValue
from tests.integration.bridges.discord.town import Town
from tests.support.fake_discord import BRIDGE_PERMISSIONS, P

inlined = pytest_twisted.ensureDeferred


async def checked(town: Town) -> dict[str, Finding]:
    found = await PACKAGE.check(town.discord_settings, town.process.tools)
    return {each.topic: each for each in found}


def test_the_instructions_name_every_permission_and_intent_with_its_reason() -> None:
    text = PACKAGE.instructions(None)
    for each in PERMISSIONS:
        assert each.title in text and each.reason in text
    assert "Message Content Intent" in text
    assert invite_url("APPLICATION_ID") in text
    assert "no public address" in text
    assert "no public address" not in PACKAGE.instructions("https://bridge.example.org")


def test_the_invitation_asks_for_what_the_fake_is_tested_with() -> None:
    asked = int(invite_url("1").rpartition("=")[2])
    assert asked & ~int(BRIDGE_PERMISSIONS | P.EMBED_LINKS) == 0


@inlined
async def test_all_is_well(town: Town) -> None:
    found = await checked(town)
    assert all(each.is_good for each in found.values()), found
    assert found["token"].text == "the bot is Hearth"


@inlined
async def test_a_bad_token_is_the_first_thing_to_be_mended(town: Town) -> None:
    town.discord.revoke(town.bot)
    found = await checked(town)
    assert list(found) == ["token"] and "Reset Token" in found["token"].text


@inlined
async def test_a_token_that_was_not_given_yet_is_the_next_step(town: Town) -> None:
    found = await PACKAGE.check(DiscordSettings(), town.process.tools)
    assert [(each.topic, each.is_good) for each in found] == [("token", False)]


@inlined
async def test_each_missing_intent_is_named(town: Town) -> None:
    town.bot.flags = 0
    found = await checked(town)
    assert not found["intent message_content"].is_good and not found["intent members"].is_good
    assert "Message Content Intent" in found["intent message_content"].text


@inlined
async def test_each_missing_permission_is_named_with_its_reason(town: Town) -> None:
    role = town.discord.bot_role(town.guild, town.bot)
    town.discord.set_role(town.guild, role, permissions=str(int(BRIDGE_PERMISSIONS & ~P.MANAGE_WEBHOOKS)))
    finding = (await checked(town))["server Wonderland"]
    assert not finding.is_good
    assert "Manage Webhooks (to write under the name and face of each Matrix user)" in finding.text
    # What may be left out is named, and no fault.
    town.discord.set_role(town.guild, role, permissions=str(int(BRIDGE_PERMISSIONS & ~P.BAN_MEMBERS)))
    finding = (await checked(town))["server Wonderland"]
    assert finding.is_good and "Ban Members" in finding.text


@inlined
async def test_a_bot_in_no_server_is_told_where_to_invite_it(town: Town) -> None:
    town.discord.kick_bot(town.guild, town.bot)
    finding = (await checked(town))["servers"]
    assert not finding.is_good and invite_url(town.bot.application_id) in finding.text


@pytest.mark.parametrize(
    "options", [{"token": "Bot x"}, {"webhook_name": "Discord"}, {"levels": {"keeper": 101}}], ids=str
)
def test_settings_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    given: dict[str, object] = {"token": "x", **options}
    with pytest.raises(BadValue):
        DiscordSettings(**given).check()  # type: ignore[arg-type]
