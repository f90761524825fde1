"""Who one is, and how one gets to hear of things; and what a browser does."""

from tests.support.fake_slack.call import Call, method
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.world import Json


@method("auth.test", "special")
def auth_test(call: Call) -> Json:
    core, user = call.core, call.core.world.user(call.user_id)
    answer = {"url": f"https://{core.world.team['domain']}.slack.com/", "team": core.world.team["name"]}
    answer |= {"user": user["name"], "team_id": core.team_id, "user_id": call.user_id, "is_enterprise_install": False}
    return answer | ({"bot_id": call.token.bot_id} if call.token.bot_id else {})


@method("auth.revoke", "3")
def auth_revoke(call: Call) -> Json:
    if call.flag("test"):
        return {"revoked": False}
    call.core.revoke(call.token)
    return {"revoked": True}


@method("apps.connections.open", "1", "connections:write", kinds=("xapp",))
def open_connection(call: Call) -> Json:
    if not call.token.app.socket_mode:
        raise SlackError("socket_mode_is_not_enabled")
    return {"url": call.core.socket_url("link", call.token)}


@method("rtm.connect", "1", kinds=("xoxc", "xoxp"))
def rtm_connect(call: Call) -> Json:
    """Only for what a browser has, and for the tokens of old that have the scope `client`."""
    if call.token.kind == "xoxp":
        call.need("client", "rtm:stream")
    name = call.core.world.user(call.user_id)["name"]
    team = call.core.world.team
    return {"url": call.core.socket_url("rtm", call.token), "team": team, "self": {"id": call.user_id, "name": name}}


@method("blocks.actions", "3", kinds=("xoxc",))
def blocks_actions(call: Call) -> Json:
    """What the client calls when its user clicks a button (not documented; so do the clients)."""
    container = call.json("container") or {}
    channel = call.core.world.channel(str(container.get("channel_id")), call.user_id)
    actions = call.json("actions")
    if not actions:
        raise SlackError("invalid_arguments")
    call.core.interact(channel, str(container.get("message_ts")), call.user_id, actions[0])
    return {}


@method("views.open", "4")
def views_open(call: Call) -> Json:
    view = call.json("view", "invalid_arguments")
    user_id = call.core.triggers.pop(call.text("trigger_id", "invalid_arguments"), None)
    if user_id is None:
        raise SlackError("expired_trigger_id")
    view = {**view, "id": call.core.world.new_id("V"), "app_id": call.token.app.id}
    call.core.views.append({"user": user_id, "view": view})
    return {"view": view}
