"""The words of mails: templates of ours, or of the operator's under the same names.

What people wrote stands in mails as text: nothing of it is markup, and no template can be made to run anything.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from jinja2 import FileSystemLoader, PackageLoader, TemplateError, select_autoescape
from jinja2.loaders import BaseLoader, ChoiceLoader
from jinja2.sandbox import SandboxedEnvironment

HTML, TEXT = "notif_mail.html", "notif_mail.txt"
# As Synapse's.
SUBJECTS: Mapping[str, str] = {
    "message_from_person_in_room": "[%(app)s] You have a message on %(app)s from %(person)s in the %(room)s room...",
    "message_from_person": "[%(app)s] You have a message on %(app)s from %(person)s...",
    "messages_from_person": "[%(app)s] You have messages on %(app)s from %(person)s...",
    "messages_in_room": "[%(app)s] You have messages on %(app)s in the %(room)s room...",
    "messages_in_room_and_others": "[%(app)s] You have messages on %(app)s in the %(room)s room and others...",
    "messages_from_person_and_others": "[%(app)s] You have messages on %(app)s from %(person)s and others...",
    "invite_from_person": "[%(app)s] %(person)s has invited you to chat on %(app)s...",
    "invite_from_person_to_room": "[%(app)s] %(person)s has invited you to join the %(room)s room on %(app)s...",
    "invite_from_person_to_space": "[%(app)s] %(person)s has invited you to join the %(space)s space on %(app)s...",
}
MAX_NAME = 80


class BadTemplate(Exception):
    """An operator's template cannot be used."""


class News(Protocol):
    """What a subject speaks of."""

    @property
    def name(self) -> str | None: ...
    @property
    def is_invite(self) -> bool: ...
    @property
    def is_space(self) -> bool: ...
    @property
    def people(self) -> Sequence[str]: ...
    @property
    def shown(self) -> dict[str, Any]: ...


class MailTemplates:
    """`directory`: the operator's templates; what is not there is ours. `subjects` are over SUBJECTS."""

    def __init__(
        self,
        *,
        base_url: str,
        subjects: Mapping[str, str],
        directory: Path | None = None,
        html: str = HTML,
        text: str = TEXT,
    ) -> None:
        """Raises: BadTemplate."""
        self._subjects = {**SUBJECTS, **subjects}
        loaders: list[BaseLoader] = [PackageLoader("homeserver.services.push")]
        if directory is not None:
            loaders.insert(0, FileSystemLoader(directory))
        environment = SandboxedEnvironment(loader=ChoiceLoader(loaders), autoescape=select_autoescape(("html",)))
        environment.filters["format_ts"] = _format_ts
        environment.filters["mxc_to_http"] = _MxcToHttp(base_url)
        try:
            self._html, self._text = environment.get_template(html), environment.get_template(text)
        except TemplateError as error:
            raise BadTemplate(f"{type(error).__name__}: {error}") from error

    def render(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """The mail as plain text and as HTML."""
        return self._text.render(**values), self._html.render(**values)

    def subject(self, app_name: str, rooms: Sequence[News]) -> str:
        """What the mail is about; `rooms` are the newest first."""
        key = _kind(rooms)
        first = rooms[0]
        words = {
            "app": app_name,
            "person": first.people[-1][:MAX_NAME],
            "room": (first.name or "")[:MAX_NAME],
            "space": (first.name or "")[:MAX_NAME],
        }
        parts = self._subjects[key].split("%(")
        said = parts[0]
        for part in parts[1:]:
            name, found, rest = part.partition(")s")
            said += words[name] + rest if found and name in words else f"%({part}"
        return said


def _kind(rooms: Sequence[News]) -> str:
    first = rooms[0]
    if len(rooms) > 1:
        return "messages_in_room_and_others" if first.name else "messages_from_person_and_others"
    if first.is_invite:
        where = "_to_space" if first.is_space else "_to_room"
        return "invite_from_person" + (where if first.name else "")
    if len(first.shown["notifs"]) == 1:
        return "message_from_person_in_room" if first.name else "message_from_person"
    return "messages_in_room" if first.name else "messages_from_person"


def _format_ts(ts: int, form: str) -> str:
    """In UTC: where the reader is, nobody knows."""
    try:
        return time.strftime(form, time.gmtime(ts / 1000))
    except (OverflowError, ValueError, OSError):
        return ""


class _MxcToHttp:
    def __init__(self, base_url: str) -> None:
        self._base = base_url.rstrip("/")

    def __call__(self, value: object, width: int, height: int, method: str = "crop") -> str:
        """The address of a thumbnail; nothing for what is no mxc:// URL."""
        if not isinstance(value, str) or not value.startswith("mxc://"):
            return ""
        path = quote(value.removeprefix("mxc://"))
        query = f"width={int(width)}&height={int(height)}&method={quote(method)}"
        return f"{self._base}/_matrix/media/v3/thumbnail/{path}?{query}"
