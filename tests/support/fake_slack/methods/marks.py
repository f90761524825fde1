"""reactions.* and pins.*. Source: docs.slack.dev, "reactions methods", "pins methods"."""

from tests.support.fake_slack.call import Call, method
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.methods.chat import shown
from tests.support.fake_slack.world import Channel, Json


@method("reactions.add", "3", "reactions:write")
def add(call: Call) -> Json:
    channel, ts = _item(call)
    call.core.acts.react(channel, ts, call.text("name", "invalid_name"), call.user_id)
    return {}


@method("reactions.remove", "2", "reactions:write")
def remove(call: Call) -> Json:
    channel, ts = _item(call)
    call.core.acts.unreact(channel, ts, call.text("name", "invalid_name"), call.user_id)
    return {}


@method("reactions.get", "3", "reactions:read")
def get(call: Call) -> Json:
    channel, ts = _item(call)
    return {"type": "message", "channel": channel.id, "message": shown(call.core.world.message(channel, ts))}


def _item(call: Call) -> tuple[Channel, str]:
    channel = call.channel()
    if call.user_id not in channel.members and channel.kind != "channel":
        raise SlackError("not_in_channel")
    if channel.is_archived:
        raise SlackError("is_archived")
    return channel, call.text("timestamp", "no_item_specified")


@method("pins.add", "2", "pins:write")
def pin(call: Call) -> Json:
    channel, ts = _item(call)
    if call.user_id not in channel.members:
        raise SlackError("not_in_channel")
    call.core.acts.pin(channel, ts, call.user_id)
    return {}


@method("pins.remove", "2", "pins:write")
def unpin(call: Call) -> Json:
    channel, ts = _item(call)
    call.core.acts.unpin(channel, ts, call.user_id)
    return {}


@method("pins.list", "2", "pins:read")
def pins(call: Call) -> Json:
    channel = call.channel()
    messages = [channel.messages[ts] for ts in channel.pins if ts in channel.messages]
    items = [{"type": "message", "channel": channel.id, "message": shown(m), "created": 1} for m in messages]
    return {"items": items}
