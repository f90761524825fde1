"""`hearth bridge discord init` and `check`: is the token good, and is each intent and permission there?"""

from collections.abc import Sequence
from typing import Any

from appservice.bridges.core.errors import LoginLost, NetworkError
from appservice.bridges.core.package import Finding
from appservice.bridges.discord import powers
from appservice.bridges.discord.listener import missing_intents, wanted_intents
from appservice.bridges.discord.permissions import INTENTS, PERMISSIONS, invite_url
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.settings import DiscordSettings

Json = dict[str, Any]
_MAX_GUILDS = 20


async def findings(settings: DiscordSettings, rest: Rest) -> Sequence[Finding]:
    """What was looked at, in the order in which it is to be mended."""
    if not settings.token:
        text = "There is none yet: do the steps 1 to 3."
        return [Finding(topic="token", is_good=False, text=text)]
    try:
        me = await rest.ask("GET", "/users/@me")
        application = await rest.ask("GET", "/applications/@me")
    except LoginLost:
        text = "Discord does not accept it: under Bot, press Reset Token, and copy the new one into bridge.yaml."
        return [Finding(topic="token", is_good=False, text=text)]
    except NetworkError as error:
        return [Finding(topic="token", is_good=False, text=f"It could not be tried: {error}.")]
    found = [Finding(topic="token", is_good=True, text=f"the bot is {me['username']}")]
    found += _intents(settings, application)
    if application.get("interactions_endpoint_url"):
        text = "Under General Information, clear the Interactions Endpoint URL: buttons would not reach the bridge."
        found.append(Finding(topic="interactions", is_good=False, text=text))
    try:
        return [*found, *await _servers(rest, me, str(application["id"]))]
    except NetworkError as error:
        return [*found, Finding(topic="servers", is_good=False, text=f"They could not be looked at: {error}.")]


def _intents(settings: DiscordSettings, application: Json) -> list[Finding]:
    wanted = wanted_intents(members=settings.members, presence=settings.presence)
    missing = missing_intents(wanted, int(application.get("flags") or 0))
    found = []
    for name, title, reason in INTENTS:
        if getattr(wanted, name):
            is_good = name not in missing
            text = f"{title} is on" if is_good else f"Under Bot, switch on the {title}: {reason}."
            found.append(Finding(topic=f"intent {name}", is_good=is_good, text=text))
    return found


async def _servers(rest: Rest, me: Json, application_id: str) -> list[Finding]:
    guilds = await rest.ask("GET", "/users/@me/guilds")
    if not guilds:
        text = f"The bot is in no server yet. Open {invite_url(application_id)}"
        return [Finding(topic="servers", is_good=False, text=text)]
    found = []
    for each in guilds[:_MAX_GUILDS]:
        found.append(await _server(rest, me, str(each["id"]), application_id))
    return found


async def _server(rest: Rest, me: Json, guild_id: str, application_id: str) -> Finding:
    guild = await rest.ask("GET", "/guilds/{guild_id}", guild_id=guild_id)
    member = await rest.ask("GET", "/guilds/{guild_id}/members/{user_id}", guild_id=guild_id, user_id=str(me["id"]))
    roles = {str(role["id"]): role for role in guild["roles"]}
    bits = powers.guild_permissions(guild, roles, {**member, "user": me})
    missing = [each for each in PERMISSIONS if not bits & each.bit]
    topic = f"server {guild['name']}"
    if not missing:
        return Finding(topic=topic, is_good=True, text="all permissions are there")
    lines = [f"{each.title} ({each.reason}{'' if each.is_needed else '; may be left out'})" for each in missing]
    text = f"missing: {', '.join(lines)}. Give them to the bot's role, or open {invite_url(application_id)} again."
    return Finding(topic=topic, is_good=not any(each.is_needed for each in missing), text=text)
