"""Buttons and menus: shown as a numbered list under the message, answered by a number (a reply, or a keycap emoji)."""

import html
import re
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from appservice.bridges.core.incoming import Action

JsonDict = dict[str, Any]
_ANSWER = re.compile(r"\s*\d{1,3}(?:[\s,;]+\d{1,3}){0,24}\s*")
_KEYCAP = re.compile(r"([0-9])\ufe0f?\u20e3")
# What is left out of a menu of a thousand is still there on the network.
_MAX_SHOWN = 50


@frozen
class Choice:
    """What a number stands for: a button, or one option of a menu."""

    action: JsonDict
    value: str | None
    max_selections: int


def kept(actions: Sequence[Action]) -> list[JsonDict]:
    """What the message map keeps: what each number stands for."""
    choices: list[JsonDict] = []
    for action in actions:
        if action.url is not None:
            continue
        source = {**action.source, "id": action.id}
        values: list[str | None] = [value for value, _ in action.options] or [None]
        choices += [{"action": source, "value": value, "max": action.max_selections} for value in values]
    return choices[:_MAX_SHOWN]


def choice(stored: list[Any], number: int) -> Choice | None:
    """What the number stands for, from 1."""
    if not 0 < number <= len(stored):
        return None
    each = stored[number - 1]
    return Choice(each["action"], each["value"], each["max"])


def numbers_in(body: str) -> list[int]:
    """The numbers of an answer; none, if the text is not one."""
    return [int(word) for word in re.findall(r"\d+", body)] if _ANSWER.fullmatch(body) else []


def keycap(key: str) -> int | None:
    """The number of a keycap emoji."""
    if key == "\U0001f51f":
        return 10
    match = _KEYCAP.fullmatch(key)
    return None if match is None else int(match[1])


def shown(content: JsonDict, actions: Sequence[Action]) -> JsonDict:
    """The content with the list under it."""
    if not actions:
        return content
    lines, items, number = [], [], 0
    for action in actions:
        if action.url is not None:
            lines.append(f"{action.label}: {action.url}")
            items.append(f'<a href="{html.escape(action.url)}">{html.escape(action.label)}</a>')
            continue
        if action.options and action.label:
            lines.append(f"{action.label}:")
            items.append(f"{html.escape(action.label)}:")
        for text in [text for _, text in action.options] or [action.label]:
            number += 1
            if number <= _MAX_SHOWN:
                lines.append(f"[{number}] {text}")
                items.append(f"<strong>[{number}]</strong> {html.escape(text)}")
    hint = "Reply with a number to choose." if number else ""
    body, formatted = content.get("body", ""), content.get("formatted_body")
    formatted = formatted if isinstance(formatted, str) else html.escape(body).replace("\n", "<br>")
    below = "\n".join([*lines, *([hint] if hint else [])])
    small = f"<br><em>{hint}</em>" if hint else ""
    return {
        "msgtype": "m.text",
        **content,
        "body": f"{body}\n{below}".strip(),
        "format": "org.matrix.custom.html",
        "formatted_body": f"{formatted}<br>{'<br>'.join(items)}{small}",
    }
