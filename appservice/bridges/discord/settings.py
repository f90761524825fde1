"""What stands below `discord:` in bridge.yaml."""

from attrs import frozen

from synapse_like_config.reading import option
from synapse_like_config.units import BadValue


@frozen(kw_only=True)
class DiscordSettings:
    """Discord."""

    token: str = option(
        "", "The token of the bot, from the developer portal. It can do all that the bot can.", secret=True
    )
    presence: bool = option(False, "Whether who is online is shown in Matrix. Needs the presence intent; costs much.")
    members: bool = option(True, "Whether the members of channels are shown. Needs the server members intent.")
    webhook_name: str = option("Matrix", "The name of the webhooks that the bridge makes in channels.")
    pings_everyone: bool = option(
        False, "Whether @room of a Matrix user pings @everyone on Discord. The room's power levels say who may."
    )
    levels: dict[str, int] = option(
        {},
        "Power levels of roles, by the id or name of the role: besides those that follow from its permissions. A role"
        " named here is also given to, and taken from, whom a moderator in Matrix gives that level.",
    )
    api: str = option("https://discord.com/api/v10", "The REST API: another one is for tests.")
    gateway: str = option("wss://gateway.discord.gg/", "The gateway: another one is for tests.")
    cdn: str = option("https://cdn.discordapp.com", "Where files lie: another one is for tests.")

    def check(self) -> None:
        if self.token.startswith("Bot "):
            raise BadValue("is written without the word Bot before it", key="token")
        name = self.webhook_name.lower()
        if not 1 <= len(name) <= 80 or "discord" in name or "clyde" in name:
            raise BadValue("must be of 1 to 80 letters, and not hold Discord or Clyde", key="webhook_name")
        for role, level in self.levels.items():
            if not 0 <= level <= 100:
                raise BadValue("must be between 0 and 100", key=f"levels.{role}")
