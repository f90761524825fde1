"""What a Matrix content says, without what is only there for old clients. Pure functions."""

import re
from typing import Any

JsonDict = dict[str, Any]
_MX_REPLY = re.compile(r"\A\s*<mx-reply>.*?</mx-reply>", re.DOTALL | re.IGNORECASE)
# Beyond it nothing is bridged of a text; an event has at most 64 kB.
_MAX_CHARACTERS = 65536
_KINDS = {"m.text": "text", "m.emote": "emote", "m.notice": "notice", "m.location": "location"}
_FILES = frozenset({"m.image", "m.video", "m.audio", "m.file"})


def body_of(content: JsonDict) -> str:
    """The plain text, without the fall-back of a reply."""
    body = content.get("body")
    body = body[:_MAX_CHARACTERS] if isinstance(body, str) else ""
    if reply_of(content) is None or not body.startswith("> "):
        return body
    lines = body.split("\n")
    at = next((at for at, line in enumerate(lines) if not line.startswith("> ")), len(lines))
    return "\n".join(lines[at + 1 if at < len(lines) and not lines[at] else at :])


def formatted_of(content: JsonDict) -> str | None:
    """The HTML, without the fall-back of a reply; None, where there is none."""
    formatted = content.get("formatted_body")
    if content.get("format") != "org.matrix.custom.html" or not isinstance(formatted, str):
        return None
    return _MX_REPLY.sub("", formatted[:_MAX_CHARACTERS])


def relation_of(content: JsonDict) -> JsonDict:
    relates = content.get("m.relates_to")
    return relates if isinstance(relates, dict) else {}


def related(content: JsonDict, rel_type: str) -> str | None:
    """The event that this one is a `rel_type` of."""
    relates = relation_of(content)
    target = relates.get("event_id")
    return target if relates.get("rel_type") == rel_type and isinstance(target, str) else None


def reply_of(content: JsonDict) -> str | None:
    """The event that is answered; not the one that a thread names only for old clients."""
    relates = relation_of(content)
    answered = relates.get("m.in_reply_to")
    target = answered.get("event_id") if isinstance(answered, dict) else None
    if relates.get("rel_type") == "m.thread" and relates.get("is_falling_back", False):
        return None
    return target if isinstance(target, str) else None


def is_file(content: JsonDict) -> bool:
    return content.get("msgtype") in _FILES


def kind_of(content: JsonDict) -> str:
    """text, emote, notice or location; what nobody knows is a text."""
    msgtype = content.get("msgtype")
    return _KINDS.get(msgtype, "text") if isinstance(msgtype, str) else "text"


def caption_of(content: JsonDict) -> str:
    """What stands with a file. Source: client-server API, "Media captions"."""
    filename = content.get("filename")
    body = body_of(content)
    return body if isinstance(filename, str) and filename != body else ""


def counted(number: int, one: str, several: str) -> str:
    """1 channel is, 2 channels are."""
    return f"{number} {one if number == 1 else several}"
