"""What a policy server of ours refuses to sign, by the operator's rules: pure.

Nothing keeps anybody from leaving, or from taking back what they said, without a word. What is encrypted nobody here
can read: of that only sender and type are looked at.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import field, frozen

from matrix import globs
from matrix.events import Event

# Of the text of one event so much is looked at: the operator's expressions are matched against what strangers write.
MAX_TEXT = 20_000
MAX_DEPTH = 8
# Letters that are not seen, and stand between those of a word that is not wanted.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_PILL = re.compile(r"matrix\.to/#/(?:@|%40)([^\"'<>\s?]{1,255})", re.IGNORECASE)
Matcher = Callable[[str], bool]


@frozen(kw_only=True)
class PolicyRules:
    """`blocked_types`: event types and msgtypes. `max_mentions`: of users in one event; None for any number."""

    blocked_servers: Sequence[Matcher] = ()
    blocked_users: Sequence[Matcher] = ()
    exempt_users: Sequence[Matcher] = ()
    blocked_types: frozenset[str] = frozenset()
    words: "re.Pattern[str] | None" = None
    patterns: Sequence["re.Pattern[str]"] = ()
    max_mentions: int | None = None
    blocks_room_mentions: bool = False
    reason: str = field(default="This is not wanted here")

    def refusal(self, event: Event) -> str | None:
        """Why the event is refused; None if it is not."""
        sender = event.sender.lower()
        if _is_harmless(event) or any(matches(sender) for matches in self.exempt_users):
            return None
        if any(matches(event.sender.domain.lower()) for matches in self.blocked_servers):
            return "Users of this server may not take part here"
        if any(matches(sender) for matches in self.blocked_users):
            return "You may not take part here"
        if not self.blocked_types.isdisjoint(_kinds(event)):
            return "Events of this kind are not wanted here"
        return self._refusal_of_content(event)

    def _refusal_of_content(self, event: Event) -> str | None:
        if self.blocks_room_mentions and mentions_room(event):
            return "Nobody may call the whole room here"
        if self.max_mentions is not None and len(mentioned(event)) > self.max_mentions:
            return f"An event may mention {self.max_mentions} users at most"
        if self.words is None and not self.patterns:
            return None
        text = text_of(event)
        if self.words is not None and self.words.search(text):
            return self.reason
        return self.reason if any(pattern.search(text) for pattern in self.patterns) else None


def words_pattern(words: Iterable[str]) -> "re.Pattern[str] | None":
    """Finds any of the words or phrases, whole, in what `plain` gives."""
    wanted = [re.escape(plain(word)) for word in words if plain(word)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(wanted)})(?!\w)") if wanted else None


def glob_matchers(patterns: Iterable[str]) -> tuple[Matcher, ...]:
    return tuple(globs.whole(pattern) for pattern in patterns)


def plain(text: str) -> str:
    """As it is read: without case, without letters that are not seen, blanks as one, look-alikes of one form as one."""
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFKC", text)).casefold().split())


def text_of(event: Event) -> str:
    """All texts of the content, wherever they stand."""
    found, length = [], 0
    for text in _texts(event.content, MAX_DEPTH):
        found.append(text[: MAX_TEXT - length])
        length += len(text)
        if length >= MAX_TEXT:
            break
    return "\n".join(plain(text) for text in found)


def mentioned(event: Event) -> set[str]:
    """The users whom the event names: by `m.mentions`, or by links."""
    named: set[str] = set()
    mentions = event.content.get("m.mentions")
    users = mentions.get("user_ids") if isinstance(mentions, dict) else None
    if isinstance(users, list):
        named.update(user for user in users if isinstance(user, str))
    formatted = event.content.get("formatted_body")
    if isinstance(formatted, str):
        named.update("@" + match.replace("%3A", ":").replace("%3a", ":") for match in _PILL.findall(formatted))
    return named


def mentions_room(event: Event) -> bool:
    mentions = event.content.get("m.mentions")
    return isinstance(mentions, dict) and mentions.get("room") is True


def _kinds(event: Event) -> Iterator[str]:
    yield event.type
    if isinstance(msgtype := event.content.get("msgtype"), str):
        yield msgtype


def _is_harmless(event: Event) -> bool:
    leaves = event.membership == "leave" and event.state_key == event.sender and not event.content.get("reason")
    return leaves or (event.type == "m.room.redaction" and not event.content.get("reason"))


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for one in inner:
            yield from _texts(one, depth - 1)
