"""Buttons and menus of a message: what can be pressed or chosen. Source: docs.slack.dev, "Block elements"."""

from collections.abc import Iterator
from typing import Any

from appservice.bridges.core.incoming import Action
from appservice.bridges.slack.formatting.rich_text import dicts, text_of

# Those that are answered with one or several of the options that the message itself lists.
_MENUS = {"static_select": 1, "overflow": 1, "radio_buttons": 1, "multi_static_select": 100, "checkboxes": 100}
MAX_ACTIONS = 25


def actions_of(blocks: list[dict[str, Any]]) -> Iterator[Action]:
    """In the order in which they are shown."""
    for block in blocks:
        elements = dicts(block.get("elements")) if block.get("type") == "actions" else []
        for element in [*elements, *dicts([block.get("accessory"), block.get("element")])]:
            action = _action(element, text_of(block.get("block_id")))
            if action is not None:
                yield action


def label_of(value: Any) -> str:
    """Of a text object; a bare text is one too."""
    return text_of(value.get("text")) if isinstance(value, dict) else text_of(value)


def _action(element: dict[str, Any], block_id: str) -> Action | None:
    kind, action_id = text_of(element.get("type")), text_of(element.get("action_id"))
    identifier = f"{block_id}/{action_id}"[:250]
    source = {"type": kind, "action_id": action_id, "block_id": block_id}
    if kind in ("button", "workflow_button"):
        label = label_of(element.get("text")) or action_id
        if isinstance(element.get("value"), str):
            source["value"] = element["value"]
        return Action(id=identifier, label=label, url=text_of(element.get("url")) or None, source=source)
    if kind not in _MENUS:
        return None
    options = tuple(
        (text_of(option.get("value")), label_of(option.get("text")))
        for option in _options(element)
        if option.get("value")
    )
    label = label_of(element.get("placeholder")) or "Choose"
    most = element.get("max_selected_items")
    count = most if isinstance(most, int) and most > 0 else _MENUS[kind]
    return Action(id=identifier, label=label, options=options, max_selections=count, source=source)


def _options(element: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from dicts(element.get("options"))
    for group in dicts(element.get("option_groups")):
        yield from dicts(group.get("options"))


def pressed(source: dict[str, Any], values: list[str], labels: dict[str, str]) -> dict[str, Any]:
    """The action as Slack's own client tells it: what was pressed, or chosen."""
    keys = ("type", "action_id", "block_id", "value")
    action: dict[str, Any] = {key: source[key] for key in keys if key in source}
    chosen = [{"value": value, "text": {"type": "plain_text", "text": labels.get(value, value)}} for value in values]
    if not chosen:
        return action
    if source.get("type") in ("multi_static_select", "checkboxes"):
        return {**action, "selected_options": chosen}
    return {**action, "selected_option": chosen[0]}
