"""files.*: the upload in three steps, and what is known of a file. Source: docs.slack.dev, "Working with files"."""

import mimetypes
import time
from typing import Any

from tests.support.fake_slack.call import Call, method
from tests.support.fake_slack.errors import SlackError
from tests.support.fake_slack.world import Channel, Json


@method("files.getUploadURLExternal", "4", "files:write")
def upload_url(call: Call) -> Json:
    name = call.text("filename", "invalid_arguments")
    try:
        length = int(call.text("length", "invalid_arguments"))
    except ValueError:
        raise SlackError("invalid_arguments") from None
    if length > call.core.max_file_bytes:
        raise SlackError("file_upload_size_restricted")
    file = new_file(call.core, name, length, call.user_id)
    call.core.uploads[file["id"]] = file
    return {"upload_url": f"{call.core.world.base_url}/upload/v1/{file['id']}", "file_id": file["id"]}


@method("files.completeUploadExternal", "4", "files:write")
def complete(call: Call) -> Json:
    files = []
    for given in call.json("files") or []:
        file = call.core.uploads.pop(given.get("id"), None)
        if file is None or file["id"] not in call.core.world.contents:
            raise SlackError("file_not_found")
        if given.get("title"):
            file["title"] = given["title"]
        call.core.world.files[file["id"]] = file
        files.append(file)
    if not files:
        raise SlackError("invalid_arguments")
    channel_id = call.maybe("channel_id")
    if channel_id:
        channel = call.channel(name="channel_id")
        if call.user_id not in channel.members:
            raise SlackError("not_in_channel")
        share(call.core, channel, files, _author(call), str(call.args.get("initial_comment") or ""), **_thread(call))
    return {"files": files}


@method("files.info", "4", "files:read")
def info(call: Call) -> Json:
    file = call.core.world.files.get(call.text("file", "file_not_found"))
    if file is None:
        raise SlackError("file_not_found")
    return {"file": file, "comments": []}


@method("files.delete", "3", "files:write")
def delete(call: Call) -> Json:
    file = call.core.world.files.get(call.text("file", "file_not_found"))
    if file is None:
        raise SlackError("file_not_found")
    if file["user"] != call.user_id:
        raise SlackError("cant_delete_file")
    del call.core.world.files[file["id"]]
    return {}


def new_file(core: Any, name: str, size: int, user_id: str, mimetype: str | None = None) -> Json:
    """What Slack tells of a file."""
    file_id, base = core.world.new_id("F"), core.world.base_url
    mimetype = mimetype or mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = mimetype.rpartition("/")[2]
    file = {
        "id": file_id,
        "created": int(time.time()),
        "timestamp": int(time.time()),
        "name": name,
        "title": name,
        "mimetype": mimetype,
        "filetype": kind,
        "pretty_type": kind.upper(),
        "user": user_id,
        "mode": "hosted",
        "size": size,
        "is_external": False,
        "is_public": True,
        "file_access": "visible",
        "url_private": f"{base}/files-pri/{core.team_id}-{file_id}/{name}",
        "url_private_download": f"{base}/files-pri/{core.team_id}-{file_id}/download/{name}",
        "permalink": f"{base}/files/{user_id}/{file_id}/{name}",
        "channels": [],
    }
    return file


def share(core: Any, channel: Channel, files: list[Json], author: Json, comment: str, **more: Any) -> Json:
    """The message that shows files in a channel."""
    for file in files:
        file["channels"].append(channel.id)
    message = {"subtype": "file_share", "text": comment, "files": files, "upload": True, **author, **more}
    posted: Json = core.acts.post(channel, message)
    for file in files:
        kind = "public" if channel.kind == "channel" else "private"
        file.setdefault("shares", {}).setdefault(kind, {}).setdefault(channel.id, []).append({"ts": posted["ts"]})
    return posted


def _author(call: Call) -> Json:
    if call.token.kind == "xoxb":
        return {"user": call.user_id, "bot_id": call.token.bot_id, "app_id": call.token.app.id}
    return {"user": call.user_id}


def _thread(call: Call) -> Json:
    thread = call.maybe("thread_ts")
    return {"thread_ts": thread} if thread else {}
