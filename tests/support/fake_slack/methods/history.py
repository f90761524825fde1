"""conversations.history and conversations.replies. Source: docs.slack.dev, "conversations.history"."""

from tests.support.fake_slack.call import Call, method
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.methods.chat import shown
from tests.support.fake_slack.world import Channel, Json

# What an app outside the Marketplace gets since May 2025.
RESTRICTED_PAGE = 15


@method("conversations.history", "3")
def history(call: Call) -> Json:
    """Newest first; replies are not in it, unless they were sent to the channel too."""
    channel = _readable(call)
    limit = _limit(call)
    wanted = [m for m in reversed(channel.sorted_messages()) if _in_channel(m) and _between(call, m["ts"])]
    if call.maybe("oldest") and not call.maybe("latest"):
        # With only a lower bound Slack still gives the newest ones first.
        pass
    page, after = _page(call, wanted, limit)
    answer = {"messages": page, "has_more": after is not None, "pin_count": len(channel.pins)}
    return answer | ({"response_metadata": {"next_cursor": after}} if after else {})


@method("conversations.replies", "3")
def replies(call: Call) -> Json:
    """The first message of the thread, then its replies, oldest first."""
    channel = _readable(call)
    ts = call.text("ts", "thread_not_found")
    if ts not in channel.messages:
        raise SlackError("thread_not_found")
    thread = [m for m in channel.sorted_messages() if m["ts"] == ts or m.get("thread_ts") == ts]
    wanted = [m for m in thread if m["ts"] == ts or _between(call, m["ts"])]
    page, after = _page(call, wanted, _limit(call))
    return {"messages": page, "has_more": after is not None} | (
        {"response_metadata": {"next_cursor": after}} if after else {}
    )


def _readable(call: Call) -> Channel:
    channel = call.channel("history")
    if call.user_id not in channel.members and not (call.token.kind != "xoxb" and channel.kind == "channel"):
        raise SlackError("not_in_channel")
    return channel


def _limit(call: Call) -> int:
    limit = call.number("limit", 100, 999)
    if not call.core.restricted_history or call.token.kind == "xoxc":
        return limit
    return min(limit, RESTRICTED_PAGE)


def _page(call: Call, wanted: list[Json], limit: int) -> tuple[list[Json], str | None]:
    """Cursors are positions by ts, so that what comes meanwhile moves nothing."""
    cursor = call.maybe("cursor")
    if cursor:
        if not cursor.startswith("next_ts:"):
            raise SlackError("invalid_cursor")
        after = [index for index, message in enumerate(wanted) if message["ts"] == cursor.removeprefix("next_ts:")]
        wanted = wanted[after[0] :] if after else []
    following = wanted[limit]["ts"] if len(wanted) > limit else None
    with_metadata = call.flag("include_all_metadata")
    page = [message if with_metadata else shown(message) for message in wanted[:limit]]
    return page, f"next_ts:{following}" if following else None


def _in_channel(message: Json) -> bool:
    return message.get("thread_ts", message["ts"]) == message["ts"] or message.get("subtype") == "thread_broadcast"


def _between(call: Call, ts: str) -> bool:
    oldest, latest = float(call.maybe("oldest") or 0), float(call.maybe("latest") or 1e12)
    if call.flag("inclusive"):
        return oldest <= float(ts) <= latest
    return oldest < float(ts) < latest
