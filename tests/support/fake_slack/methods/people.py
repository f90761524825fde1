"""users.*, bots.info, team.info, emoji.list. Source: docs.slack.dev, "users methods"."""

from tests.support.fake_slack.call import Call, method
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.world import Json


@method("users.list", "2", "users:read")
def users(call: Call) -> Json:
    page, metadata = call.page([_seen(call, user) for user in call.core.world.users.values()])
    return {"members": page, "cache_ts": 1, "response_metadata": metadata}


@method("users.info", "4", "users:read")
def user_info(call: Call) -> Json:
    return {"user": _seen(call, call.core.world.user(call.text("user", "user_not_found")))}


@method("users.profile.get", "4", "users.profile:read")
def profile(call: Call) -> Json:
    return {"profile": call.core.world.user(call.maybe("user") or call.user_id)["profile"]}


@method("users.lookupByEmail", "3", "users:read.email")
def by_email(call: Call) -> Json:
    wanted = call.text("email", "users_not_found")
    for user in call.core.world.users.values():
        if user["profile"].get("email") == wanted and not user["deleted"]:
            return {"user": user}
    raise SlackError("users_not_found")


@method("users.getPresence", "3", "users:read")
def presence(call: Call) -> Json:
    user_id = call.maybe("user") or call.user_id
    call.core.world.user(user_id)
    return {"presence": call.core.world.presence[user_id]}


@method("users.setPresence", "2", "users:write")
def set_presence(call: Call) -> Json:
    wanted = call.text("presence", "invalid_presence")
    call.core.acts.change_presence(call.user_id, "active" if wanted == "auto" else wanted)
    return {}


@method("bots.info", "3", "users:read")
def bot_info(call: Call) -> Json:
    for app in call.core.apps.values():
        if app.bot_id == call.text("bot", "bot_not_found"):
            icons = {"image_72": f"{call.core.world.base_url}/avatars/{app.bot_user_id}.png"}
            bot = {"id": app.bot_id, "name": app.name, "app_id": app.id, "user_id": app.bot_user_id, "deleted": False}
            return {"bot": {**bot, "icons": icons, "updated": 1}}
    raise SlackError("bot_not_found")


@method("team.info", "3", "team:read")
def team(call: Call) -> Json:
    icon = {f"image_{size}": f"{call.core.world.base_url}/avatars/team.png" for size in (34, 132, 230)}
    return {"team": {**call.core.world.team, "email_domain": "", "icon": icon}}


@method("emoji.list", "2", "emoji:read")
def emoji(call: Call) -> Json:
    return {"emoji": call.core.world.emoji, "cache_ts": "1.0"}


def _seen(call: Call, user: Json) -> Json:
    """Without the address, unless the token may read it."""
    if "users:read.email" in call.token.scopes or call.token.kind == "xoxc":
        return user
    return {**user, "profile": {key: value for key, value in user["profile"].items() if key != "email"}}
