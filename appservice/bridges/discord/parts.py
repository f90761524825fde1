"""The parts of the bridge to Discord, put together for one Bridge."""

from collections.abc import Callable, Sequence

from attrs import frozen

from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Login
from appservice.bridges.core.package import Tools
from appservice.bridges.discord.channels import Channels
from appservice.bridges.discord.directory import Directory
from appservice.bridges.discord.directs import Directs
from appservice.bridges.discord.linking import Linking
from appservice.bridges.discord.messages import Messages
from appservice.bridges.discord.moderation import Moderation
from appservice.bridges.discord.past import Past
from appservice.bridges.discord.placing import Placing
from appservice.bridges.discord.polls import Polls
from appservice.bridges.discord.reading import Reading
from appservice.bridges.discord.renaming import Renaming
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.sending import Sending
from appservice.bridges.discord.settings import DiscordSettings
from appservice.bridges.discord.webhooks import Webhooks


@frozen(kw_only=True)
class Parts:
    """Bottom up."""

    bridge: Bridge
    webhooks: Webhooks
    directs: Directs
    channels: Channels
    sending: Sending
    polls: Polls
    linking: Linking
    messages: Messages
    reading: Reading
    past: Past
    placing: Placing
    renaming: Renaming


def put_together(
    bridge: Bridge,
    *,
    settings: DiscordSettings,
    tools: Tools,
    rest: Rest,
    directory: Directory,
    logins: Callable[[], Sequence[Login]],
) -> Parts:
    """Connects to nothing."""
    cdn = settings.cdn.rstrip("/")
    webhooks = Webhooks(bridge=bridge, rest=rest, directory=directory, name=settings.webhook_name, cdn=cdn)
    directs = Directs(bridge=bridge, logins=logins)
    channels = Channels(
        bridge=bridge,
        rest=rest,
        directory=directory,
        directs=directs,
        cdn=cdn,
        levels=settings.levels,
        shows_members=settings.members,
    )
    sending = Sending(
        bridge=bridge,
        rest=rest,
        directory=directory,
        webhooks=webhooks,
        directs=directs,
        pings_everyone=settings.pings_everyone,
    )
    polls = Polls(bridge=bridge, rest=rest, sending=sending)
    linking = Linking(
        bridge=bridge,
        sending=sending,
        now_ms=tools.clock.now_ms,
        bot_name=lambda: str(directory.me.get("global_name") or directory.me.get("username") or "the bot"),
    )
    messages = Messages(bridge=bridge, rest=rest, directory=directory, webhooks=webhooks, cdn=cdn)
    reading = Reading(
        bridge=bridge,
        directory=directory,
        messages=messages,
        channels=channels,
        polls=polls,
        linking=linking,
        moderation=Moderation(rest=rest, directory=directory, clock=tools.clock),
    )
    past = Past(bridge=bridge, rest=rest, directory=directory, messages=messages, directs=directs)
    placing = Placing(
        bridge=bridge,
        rest=rest,
        directory=directory,
        channels=channels,
        directs=directs,
        webhooks=webhooks,
        tools=tools,
    )
    renaming = Renaming(bridge=bridge, channels=channels, clock=tools.clock, tasks=tools.tasks)
    return Parts(
        bridge=bridge,
        webhooks=webhooks,
        directs=directs,
        channels=channels,
        sending=sending,
        polls=polls,
        linking=linking,
        messages=messages,
        reading=reading,
        past=past,
        placing=placing,
        renaming=renaming,
    )
