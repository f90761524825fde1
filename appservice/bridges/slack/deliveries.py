"""What Slack delivers -> what core is to keep: which queue it belongs to, and what it is known by."""

from appservice.bridges.core.ids import ChannelId, JsonDict, MessageId
from appservice.bridges.core.incoming import Delivery, Echo
from appservice.bridges.slack.formatting.rich_text import text_of
from appservice.bridges.slack.messages import is_ours, ms_of
from appservice.bridges.slack.team import Team


def of_event(team: Team, payload: JsonDict) -> Delivery:
    """An event_callback. Slack's event id is the same for every attempt to deliver it."""
    event = payload.get("event")
    event = event if isinstance(event, dict) else {}
    kept = {"kind": "event", "team": team.id, "event": event}
    key = text_of(payload.get("event_id")) or None
    return Delivery(queue=_queue(team, event), payload=kept, key=key, echo=_echo(team, event))


def _echo(team: Team, event: JsonDict) -> Echo | None:
    ts, thread = event.get("ts"), event.get("thread_ts")
    if event.get("type") != "message" or event.get("subtype") not in _WRITTEN or not isinstance(ts, str):
        return None
    if not is_ours(team, event):
        return None
    return Echo(id=MessageId(ts), sent_ms=ms_of(ts), is_in_thread=isinstance(thread, str) and thread != ts)


_WRITTEN = (None, "bot_message")


def of_action(team: Team, payload: JsonDict) -> Delivery:
    """Pressed buttons: block_actions."""
    container = payload.get("container")
    channel = text_of(container.get("channel_id")) if isinstance(container, dict) else ""
    kept = {"kind": "action", "team": team.id, "action": payload}
    key = text_of(payload.get("trigger_id"))
    return Delivery(
        queue=team.full_channel(channel) if channel else None, payload=kept, key=f"trigger:{key}" if key else None
    )


def of_login(team: Team, event: JsonDict) -> Delivery | None:
    """What a login's own connection tells; None for what apps are told too, where the bot is."""
    kind, channel = text_of(event.get("type")), channel_of(event)
    if kind not in _OF_LOGINS or (kind not in _ONLY_LOGINS and channel in team.bot_channels):
        return None
    stamp = text_of(event.get("event_ts")) or text_of(event.get("ts"))
    kept = {"kind": "event", "team": team.id, "event": event}
    return Delivery(queue=_queue(team, event), payload=kept, key=f"login:{kind}:{channel}:{stamp}" if stamp else None)


_ONLY_LOGINS = frozenset(["channel_marked", "group_marked", "mpim_marked", "im_marked"])
_OF_LOGINS = _ONLY_LOGINS | frozenset(
    [
        *("message", "reaction_added", "reaction_removed", "pin_added", "pin_removed", "member_joined_channel"),
        *("member_left_channel", "channel_rename", "group_rename"),
    ]
)


def channel_of(event: JsonDict) -> str:
    """The channel that an event is about; empty, if it is about none."""
    channel = event.get("channel", event.get("channel_id"))
    if isinstance(channel, dict):
        return text_of(channel.get("id"))
    item = event.get("item")
    if channel is None and isinstance(item, dict):
        return text_of(item.get("channel"))
    return text_of(channel)


def _queue(team: Team, event: JsonDict) -> ChannelId | None:
    channel = channel_of(event)
    return team.full_channel(channel) if channel else None
