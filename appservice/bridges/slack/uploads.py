"""Files both ways. Source: docs.slack.dev, "Working with files".

A file that is shared by Slack's own call comes from the bot, under no other name, and tells no message. So it is
uploaded to nobody, and a message links to it: Slack shows it there.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from appservice.bridges.core.errors import FileTooLarge, NotThere, Temporary
from appservice.bridges.core.incoming import RemoteFile
from appservice.bridges.core.network import Fetched, Spool
from appservice.bridges.core.outgoing import OutgoingFile
from appservice.bridges.slack.api import Account, SlackApi
from appservice.bridges.slack.team import Team

# What Slack takes at most.
MAX_FILE_BYTES = 1024 * 1024 * 1024
_CHUNK = 64 * 1024
# Where Slack keeps files (with a token), and faces and emoji (without). Whatever else a message names is not fetched:
# it could lie in our own network.
_WITH_TOKEN = (".slack.com", ".slack-files.com")
_PUBLIC = (*_WITH_TOKEN, ".slack-edge.com", ".gravatar.com", ".wp.com")


async def upload(team: Team, account: Account, file: OutgoingFile) -> str:
    """The link to the uploaded file."""
    if file.size_bytes > MAX_FILE_BYTES:
        raise FileTooLarge(MAX_FILE_BYTES)
    api = team.api
    place = await api.call(account, "files.getUploadURLExternal", filename=file.name, length=file.size_bytes)

    async def send() -> int:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.size_bytes)}
        async with api.session().post(str(place["upload_url"]), data=_chunks(file.path), headers=headers) as answer:
            return answer.status

    status = await api.in_loop(send)
    if status != 200:
        raise Temporary(f"Slack did not take the file (status {status})")
    done = await api.call(account, "files.completeUploadExternal", files=[{"id": place["file_id"], "title": file.name}])
    return str(done["files"][0]["permalink"])


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    # From a local disk, in small pieces: no longer than the reactor's other work.
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


async def fetch(teams: list[Team], api: SlackApi, file: RemoteFile, spool: Spool) -> Fetched:
    """By the bot, else by whoever of the logins may. Raises: NotThere, FileTooLarge."""
    url = str(file.source.get("url") or "")
    if not is_allowed(url, api.base_url, _PUBLIC):
        raise NotThere("the file does not lie on Slack")
    if not file.source.get("is_private") or not is_allowed(url, api.base_url, _WITH_TOKEN):
        return await _read(api, url, None, spool)
    for team in teams:
        if team.id == file.source.get("team"):
            for account in (team.bot, *map(team.account, team.logins.values())):
                try:
                    return await _read(api, url, account, spool)
                except NotThere:
                    continue
    raise NotThere("the file is not there (any more), or the bridge lacks the scope files:read")


async def _read(api: SlackApi, url: str, account: Account | None, spool: Spool) -> Fetched:
    headers = {"Authorization": f"Bearer {account.token}"} if account else {}
    headers |= {"Cookie": f"d={account.cookie}"} if account and account.cookie else {}

    async def read() -> Fetched:
        async with api.session().get(url, headers=headers, allow_redirects=account is None) as answer:
            mimetype = _checked(answer, is_private=account is not None)
            async for chunk in answer.content.iter_chunked(_CHUNK):
                spool.write(chunk)
            return Fetched(mimetype=mimetype)

    fetched: Fetched = await api.in_loop(read)
    return fetched


def _checked(answer: aiohttp.ClientResponse, *, is_private: bool) -> str:
    """The type of what comes. Whoever may not read a file is sent to a page to sign in."""
    if answer.status >= 500:
        raise Temporary(f"Slack gives the file not now (status {answer.status})")
    if answer.status != 200 or (is_private and answer.content_type == "text/html"):
        raise NotThere("the file is not there (any more)")
    return answer.content_type


def is_allowed(url: str, base_url: str, suffixes: tuple[str, ...]) -> bool:
    """Whether the address is of Slack's, or of the server that stands for it."""
    try:
        target, base = urlsplit(url), urlsplit(base_url)
        if (target.scheme, target.hostname, target.port) == (base.scheme, base.hostname, base.port):
            return True
        return target.scheme == "https" and target.port in (None, 443) and (target.hostname or "").endswith(suffixes)
    except ValueError:
        return False
