"""Pushers.

Source: client-server API, "Push Notifications", GET /pushers, POST /pushers/set.
"""

from typing import Any

from homeserver.services.push.pushers import NewPusher, Pushers, check_key
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import BadRequest
from storage.pushers import Pusher

# MSC3881: a pusher may be switched off, from another device too.
_ENABLED, _DEVICE_ID = "org.matrix.msc3881.enabled", "org.matrix.msc3881.device_id"
_REQUIRED = ("app_display_name", "device_display_name", "lang", "data")
MAX_NAME_BYTES = 1_024


class PushersApi:
    def __init__(self, *, pushers: Pushers) -> None:
        self._pushers = pushers

    @route("GET", *client("/pushers"))
    async def get_pushers(self, call: Call) -> Answer:
        return {"pushers": [_as_json(pusher) for pusher in await self._pushers.list_of(call.user.user_id)]}

    @route("POST", *client("/pushers/set"))
    async def set_pusher(self, call: Call) -> Answer:
        body = call.json()
        missing = [name for name in ("app_id", "pushkey") if name not in body]
        if "kind" not in body.raw:
            missing.insert(0, "kind")
        if body.raw.get("kind") is not None:
            missing += [name for name in _REQUIRED if name not in body]
        if missing:
            raise BadRequest(f"Missing parameters: {', '.join(missing)}", "M_MISSING_PARAM")
        app_id, pushkey = body.text("app_id"), body.text("pushkey")
        kind = body.optional_text("kind")
        if kind is None:
            check_key(app_id, pushkey)
            await self._pushers.remove(call.user.user_id, app_id, pushkey)
        else:
            await self._pushers.set(call.user, _new_pusher(body, app_id, pushkey, kind))
        return {}


def _new_pusher(body: Fields, app_id: str, pushkey: str, kind: str) -> NewPusher:
    # Gateways get the whole of it; of these two we know the type.
    for name in ("url", "format"):
        body.object("data").optional_text(name)
    return NewPusher(
        app_id=app_id,
        pushkey=pushkey,
        kind=kind,
        app_display_name=body.text("app_display_name", max_bytes=MAX_NAME_BYTES),
        device_display_name=body.text("device_display_name", max_bytes=MAX_NAME_BYTES),
        profile_tag=body.optional_text("profile_tag", max_bytes=MAX_NAME_BYTES),
        lang=body.text("lang", max_bytes=MAX_NAME_BYTES),
        data=dict(body.object("data").raw),
        append=body.boolean("append", False),
        enabled=body.boolean(_ENABLED, True),
    )


def _as_json(pusher: Pusher) -> dict[str, Any]:
    found = {
        "pushkey": pusher.pushkey,
        "kind": pusher.kind,
        "app_id": pusher.app_id,
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "lang": pusher.lang,
        "data": pusher.data,
        _ENABLED: pusher.enabled,
        _DEVICE_ID: pusher.device_id,
    }
    return found if pusher.profile_tag is None else {**found, "profile_tag": pusher.profile_tag}
