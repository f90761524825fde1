"""What the bridge asks for at Discord, and what each is for: permissions of its role, and intents."""

from attrs import frozen

from appservice.bridges.discord import powers


@frozen
class Permission:
    """`bit` of Discord's, its name as the server's settings show it, and the reason."""

    bit: int
    title: str
    reason: str
    is_needed: bool = True


PERMISSIONS = (
    Permission(powers.VIEW_CHANNEL, "View Channels", "to hear what is written"),
    Permission(powers.READ_HISTORY, "Read Message History", "to show older messages, and what was missed"),
    Permission(powers.MANAGE_WEBHOOKS, "Manage Webhooks", "to write under the name and face of each Matrix user"),
    Permission(powers.SEND_MESSAGES, "Send Messages", "to write what webhooks cannot: votes, answers of the bot"),
    Permission(powers.SEND_IN_THREADS, "Send Messages in Threads", "to write in threads"),
    Permission(powers.CREATE_THREADS, "Create Public Threads", "to begin a thread that was begun in Matrix"),
    Permission(powers.ATTACH_FILES, "Attach Files", "to send files"),
    Permission(powers.EMBED_LINKS, "Embed Links", "that addresses have a preview"),
    Permission(powers.ADD_REACTIONS, "Add Reactions", "to react"),
    Permission(powers.EXTERNAL_EMOJI, "Use External Emoji", "to write and react with emoji of other servers"),
    Permission(
        powers.MANAGE_MESSAGES, "Manage Messages", "that moderators in Matrix can delete what others wrote", False
    ),
    Permission(powers.PIN_MESSAGES, "Pin Messages", "to pin what is pinned in Matrix", False),
    Permission(powers.MANAGE_CHANNELS, "Manage Channels", "to change names and topics from Matrix", False),
    Permission(powers.MANAGE_THREADS, "Manage Threads", "to see private threads and write in locked ones", False),
    Permission(powers.KICK, "Kick Members", "to kick whom a moderator in Matrix kicks", False),
    Permission(powers.BAN, "Ban Members", "to ban whom a moderator in Matrix bans", False),
    Permission(powers.VIEW_AUDIT_LOG, "View Audit Log", "to show who was kicked or banned by whom, and why", False),
    Permission(powers.MANAGE_ROLES, "Manage Roles", "to give roles by power levels (`levels` in bridge.yaml)", False),
    Permission(powers.MENTION_EVERYONE, "Mention Everyone", "that @room pings everyone (`pings_everyone`)", False),
)
INTENTS = (
    ("message_content", "Message Content Intent", "to read what is written: without it every message is empty"),
    ("members", "Server Members Intent", "to show who is in a channel, and their names and roles (`members`)"),
    ("presences", "Presence Intent", "to show who is online; only with `presence: true`"),
)


def invite_url(application_id: str) -> str:
    """Where a server's owner lets the bot in, with all permissions asked for."""
    bits = sum(each.bit for each in PERMISSIONS)
    return f"https://discord.com/oauth2/authorize?client_id={application_id}&scope=bot&permissions={bits}"
