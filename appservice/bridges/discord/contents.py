"""A message of Discord as the parts that become Matrix events. Pure functions.

A text is one part, each file another, each sticker, the rich embeds together, a poll. Their ids stay when the message
is edited: "" for the text (or the poll), the attachment's id, "sticker/<id>", "embeds".
"""

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

from attrs import frozen

from appservice.bridges.core.ids import MAIN_PART, PartId
from appservice.bridges.core.incoming import Action, Part, Poll, RemoteFile
from appservice.bridges.discord.formatting import Rendered
from appservice.bridges.discord.shapes import moment_ms, sticker_file

Json = dict[str, Any]
Render = Callable[[str], Rendered]

# Embeds that Discord makes of an address: Matrix clients make their own.
_UNFURLED = {"link", "article", "video", "image", "gifv", "poll_result"}
_SPOILER = 1 << 3
_VOICE_MESSAGE = 1 << 13
_MAX_EMBEDS, _MAX_FIELDS, _MAX_COMPONENTS, _MAX_NESTED = 10, 25, 40, 5
_ROW, _BUTTON, _STRING_SELECT, _SECTION, _TEXT, _CONTAINER = 1, 2, 3, 9, 10, 17
_LINK_STYLE = 5
_SELECTS = {5: "people", 6: "roles", 7: "people and roles", 8: "channels"}


@frozen(kw_only=True)
class Source:
    """Where a message is: for its files, whose addresses expire."""

    channel_id: str
    message_id: str
    cdn: str


def texts_of(message: Json) -> list[str]:
    """Everything that is written in Markdown: so that what it names can be looked up at once."""
    texts = [str(message.get("content") or "")]
    for embed in _rich_embeds(message):
        texts += [str(embed.get(key) or "") for key in ("title", "description")]
        texts += [str(each.get(key) or "") for each in _fields(embed) for key in ("name", "value")]
    texts += [str(each.get("content") or "") for each in _components(message) if each.get("type") == _TEXT]
    for snapshot in snapshots_of(message):
        texts += texts_of(snapshot)
    return [text for text in texts if text]


def snapshots_of(message: Json) -> list[Json]:
    """The forwarded messages, as they were then."""
    found = message.get("message_snapshots") or []
    return [each["message"] for each in found[:1] if isinstance(each.get("message"), dict)]


def parts_of(message: Json, source: Source, render: Render, *, prefix: str = "") -> tuple[Part, ...]:
    """All parts; none of a message that says nothing. `prefix` is set before the ids of a forwarded message's."""
    parts: list[Part] = []
    poll = poll_of(message)
    if poll is not None:
        parts.append(Part(id=PartId(prefix), poll=poll))
    text = _text(message, render)
    actions = actions_of(message)
    if text is not None or actions:
        msgtype = "m.notice" if message.get("author", {}).get("bot") and "webhook_id" not in message else "m.text"
        content = (text or Rendered(body="", html=None)).content(
            msgtype, may_mention_room=bool(message.get("mention_everyone"))
        )
        part_id = MAIN_PART if poll is None else PartId("text")
        parts.append(Part(id=PartId(prefix) or part_id, content=content, actions=actions))
    parts += [_forwarded(each, source, render) for each in snapshots_of(message)]
    for each in snapshots_of(message):
        parts += [part for part in parts_of(each, source, render, prefix="forward/") if part.file is not None]
    parts += [_file_part(each, message, source) for each in message.get("attachments") or []]
    parts += [_sticker_part(each, source) for each in message.get("sticker_items") or []]
    parts += _embed_parts(message, render)
    return tuple(parts)


def _text(message: Json, render: Render) -> Rendered | None:
    """The text itself, with that of newer messages, which are made of components."""
    pieces = [str(message.get("content") or "")]
    pieces += [str(each.get("content") or "") for each in _components(message) if each.get("type") == _TEXT]
    rendered = [render(piece) for piece in pieces if piece]
    return None if not rendered else _joined(rendered)


def _joined(pieces: Sequence[Rendered]) -> Rendered:
    if len(pieces) == 1:
        return pieces[0]
    return Rendered(
        body="\n".join(piece.body for piece in pieces),
        html="<br>".join(_html(piece) for piece in pieces),
        user_ids=tuple(dict.fromkeys(user for piece in pieces for user in piece.user_ids)),
        is_for_room=any(piece.is_for_room for piece in pieces),
    )


def _html(rendered: Rendered) -> str:
    return rendered.html if rendered.html is not None else escape(rendered.body, quote=False).replace("\n", "<br>")


def _forwarded(snapshot: Json, source: Source, render: Render) -> Part:
    text = _text(snapshot, render)
    embeds = [_embed(each, render) for each in _rich_embeds(snapshot)]
    quoted = _joined([each for each in (text, *embeds) if each is not None]) if text or embeds else None
    body = "↷ Forwarded" + ("" if quoted is None else "\n" + _quoted(quoted.body))
    html = "<em>↷ Forwarded</em>" + ("" if quoted is None else f"<blockquote>{_html(quoted)}</blockquote>")
    # Who was named when it was first written is not called again.
    return Part(id=PartId("forward"), content=Rendered(body=body, html=html).content())


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


# Files and stickers.


def _file_part(attachment: Json, message: Json, source: Source) -> Part:
    name = str(attachment.get("filename") or "file")
    duration = attachment.get("duration_secs")
    file = RemoteFile(
        id=str(attachment["id"]),
        name=str(attachment.get("title") or name),
        mimetype=str(attachment["content_type"]).partition(";")[0] if attachment.get("content_type") else None,
        size_bytes=attachment.get("size"),
        width=attachment.get("width"),
        height=attachment.get("height"),
        duration_ms=int(duration * 1000) if isinstance(duration, int | float) else None,
        source={"url": attachment["url"], "channel": source.channel_id, "message": source.message_id},
    )
    content: Json = {}
    if attachment.get("description"):
        content["body"] = str(attachment["description"])
    if name.startswith("SPOILER_") or int(attachment.get("flags") or 0) & _SPOILER:
        # MSC4193, by the name that clients know.
        content["page.codeberg.everypizza.msc4193.spoiler"] = True
    if int(message.get("flags") or 0) & _VOICE_MESSAGE:
        content.update(_voice(file, name))
    return Part(id=PartId(file.id), file=file, content=content)


def _voice(file: RemoteFile, name: str) -> Json:
    audio = {"duration": file.duration_ms} if file.duration_ms is not None else {}
    return {
        "msgtype": "m.audio",
        "body": name,
        "org.matrix.msc1767.audio": audio,
        "org.matrix.msc3245.voice": {},
    }


def _sticker_part(sticker: Json, source: Source) -> Part:
    part_id = PartId(f"sticker/{sticker['id']}")
    file = sticker_file(sticker, source.cdn)
    name = str(sticker.get("name") or "sticker")
    if file is None:
        return Part(id=part_id, content=Rendered(body=f"[sticker: {name}]", html=None).content())
    # Discord shows them at 160 pixels.
    info = {"w": 160, "h": 160, "mimetype": file.mimetype}
    return Part(id=part_id, event_type="m.sticker", file=file, content={"body": name, "info": info})


# Embeds.


def _rich_embeds(message: Json) -> list[Json]:
    embeds = [each for each in message.get("embeds") or [] if each.get("type", "rich") not in _UNFURLED]
    return embeds[:_MAX_EMBEDS]


def _fields(embed: Json) -> list[Json]:
    return list(embed.get("fields") or [])[:_MAX_FIELDS]


def _embed_parts(message: Json, render: Render) -> list[Part]:
    embeds = _rich_embeds(message)
    shown = [_embed(each, render) for each in embeds]
    parts = []
    if any(each.body for each in shown):
        content = _joined([each for each in shown if each.body]).content("m.notice", may_mention_room=False)
        parts.append(Part(id=PartId("embeds"), content=content))
    for number, embed in enumerate(embeds):
        image = embed.get("image") or {}
        # The copy that Discord made: the original lies anywhere, and would see who looks.
        if image.get("proxy_url"):
            source = {"url": image["proxy_url"]}
            file = RemoteFile(
                id=f"embed/{image['proxy_url']}",
                name="image",
                width=image.get("width"),
                height=image.get("height"),
                source=source,
            )
            parts.append(Part(id=PartId(f"embed/{number}"), file=file, content={"msgtype": "m.image"}))
    return parts


def _embed(embed: Json, render: Render) -> Rendered:
    """A rich embed: as a quotation with its headings."""
    bodies: list[str] = []
    rows: list[str] = []
    users: list[str] = []

    def add(text: Rendered, tag: str = "", url: str | None = None) -> None:
        html = _html(text)
        html = f'<a href="{escape(url)}">{html}</a>' if url and re.match("https?://", url) else html
        rows.append(f"<{tag}>{html}</{tag}>" if tag else html)
        bodies.append(text.body + (f" ({url})" if url else ""))
        users.extend(text.user_ids)

    author, footer = embed.get("author") or {}, embed.get("footer") or {}
    if author.get("name"):
        add(Rendered(body=str(author["name"]), html=None), "em", author.get("url"))
    if embed.get("title"):
        add(render(str(embed["title"])), "strong", embed.get("url"))
    if embed.get("description"):
        add(render(str(embed["description"])))
    for each in _fields(embed):
        add(render(str(each.get("name") or "")), "strong")
        add(render(str(each.get("value") or "")))
    if footer.get("text"):
        add(Rendered(body=str(footer["text"]), html=None), "sub")
    html = f"<blockquote>{'<br>'.join(rows)}</blockquote>" if rows else None
    return Rendered(body=_quoted("\n".join(bodies)) if bodies else "", html=html, user_ids=tuple(users))


# Buttons and menus.


def _components(message: Json) -> Iterator[Json]:
    """All of them, in order, whatever they stand in."""
    yield from list(_nested(message.get("components") or [], 0))[:_MAX_COMPONENTS]


def _nested(components: Sequence[Any], depth: int) -> Iterator[Json]:
    for each in components if depth < _MAX_NESTED else ():
        if not isinstance(each, dict):
            continue
        yield each
        yield from _nested(each.get("components") or [], depth + 1)
        if isinstance(each.get("accessory"), dict):
            yield from _nested([each["accessory"]], depth + 1)


def actions_of(message: Json) -> tuple[Action, ...]:
    """Buttons and menus that can be used."""
    found = []
    for each in _components(message):
        if each.get("disabled"):
            continue
        if each.get("type") == _BUTTON:
            found.append(_button(each))
        elif each.get("type") == _STRING_SELECT or each.get("type") in _SELECTS:
            found.append(_menu(each))
    return tuple(found)


def _button(button: Json) -> Action:
    symbol = (button.get("emoji") or {}).get("name") or ""
    label = " ".join(part for part in (symbol, str(button.get("label") or "")) if part) or "button"
    if button.get("style") == _LINK_STYLE and re.match("https?://", str(button.get("url"))):
        return Action(id=str(button["url"]), label=label, url=str(button["url"]))
    return Action(id=str(button.get("custom_id") or ""), label=label, source={"kind": "button"})


def _menu(menu: Json) -> Action:
    options = [(str(each.get("value")), str(each.get("label"))) for each in menu.get("options") or []]
    kind = _SELECTS.get(int(menu["type"]))
    label = str(menu.get("placeholder") or (f"Choose {kind}" if kind else "Choose"))
    return Action(
        id=str(menu.get("custom_id") or ""),
        label=label,
        options=tuple(options[:_MAX_FIELDS]),
        max_selections=int(menu.get("max_values") or 1),
        source={"kind": "menu"},
    )


# Polls.


def poll_of(message: Json) -> Poll | None:
    """A poll of Discord's own."""
    poll = message.get("poll")
    if not isinstance(poll, dict):
        return None
    answers = tuple((str(each["answer_id"]), _answer(each.get("poll_media") or {})) for each in poll["answers"])
    return Poll(
        question=str((poll.get("question") or {}).get("text") or ""),
        answers=answers,
        max_selections=len(answers) if poll.get("allow_multiselect") else 1,
        closes_ms=moment_ms(poll.get("expiry")),
    )


def _answer(media: Json) -> str:
    symbol = (media.get("emoji") or {}).get("name")
    return " ".join(part for part in (symbol, media.get("text")) if part)


def poll_result(message: Json) -> str:
    """What the message at a poll's end says, for people."""
    embeds = message.get("embeds") or [{}]
    fields = {str(each.get("name")): str(each.get("value")) for each in _fields(embeds[0])}
    question = fields.get("poll_question_text", "The poll")
    total = fields.get("total_votes", "0")
    if "victor_answer_text" not in fields or total == "0":
        return f"“{question}” has ended without a winner ({total} votes)."
    winner, votes = fields["victor_answer_text"], fields.get("victor_answer_votes", "?")
    return f"“{question}” has ended: {winner} ({votes} of {total} votes)."
