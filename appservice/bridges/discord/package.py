"""What `hearth bridge discord` needs of Discord: settings, instructions, the check, the network."""

from collections.abc import Sequence

from appservice.bridges.core.network import Network
from appservice.bridges.core.package import Finding, Tools
from appservice.bridges.discord.checking import findings
from appservice.bridges.discord.network import DiscordNetwork
from appservice.bridges.discord.permissions import INTENTS, PERMISSIONS, invite_url
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.settings import DiscordSettings

_STEPS = """\
1. Open https://discord.com/developers/applications and press New Application. Its name is that of the bot.
2. Under General Information, copy the Application ID. Leave Interactions Endpoint URL empty.
3. Under Bot, press Reset Token, and copy the token to `discord: token:` in bridge.yaml. It is shown once, and whoever
   has it is the bot: keep the file to yourself.
4. Under Bot, Privileged Gateway Intents, switch on:
{intents}
5. Under Bot, switch off Public Bot, so that nobody else can invite it.
6. Invite the bot to your server: put the Application ID into this address, and open it as who manages the server.
   {invite}
   It asks for these permissions; those in brackets may be left out:
{permissions}
7. If `levels` names roles: in the server's settings, under Roles, draw the bot's role above them.
"""


class DiscordPackage:
    name = "discord"
    title = "Discord"
    settings = DiscordSettings

    def instructions(self, public_url: str | None) -> str:
        """The steps, each permission and intent with its reason."""
        intents = "\n".join(f"   - {title}: {reason}" for _, title, reason in INTENTS)
        rows = [(each.title if each.is_needed else f"({each.title})", each.reason) for each in PERMISSIONS]
        permissions = "\n".join(f"   - {title:26} {reason}" for title, reason in rows)
        steps = _STEPS.format(intents=intents, permissions=permissions, invite=invite_url("APPLICATION_ID"))
        if public_url is None:
            steps += _WITHOUT_ADDRESS
        return steps

    async def check(self, settings: DiscordSettings, tools: Tools) -> Sequence[Finding]:
        rest = Rest(crossing=tools.crossing, token=settings.token, api=settings.api)
        try:
            return await findings(settings, rest)
        finally:
            await rest.close()

    def build(self, settings: DiscordSettings, tools: Tools) -> Network:
        return DiscordNetwork(settings, tools)


_WITHOUT_ADDRESS = """
Discord fetches the faces of Matrix users from the bridge. It has no public address yet (`public: address:`): until it
has one, they are shown without.
"""

PACKAGE = DiscordPackage()
