"""Polls as Matrix events, and back. Pure functions.

Source: MSC3381, with the names that clients know.
"""

from typing import Any

from appservice.bridges.core.incoming import Poll

JsonDict = dict[str, Any]
START, RESPONSE, END = (f"org.matrix.msc3381.poll.{name}" for name in ("start", "response", "end"))
STARTS, RESPONSES, ENDS = (START, "m.poll.start"), (RESPONSE, "m.poll.response"), (END, "m.poll.end")
_TEXT = "org.matrix.msc1767.text"
_DISCLOSED = ("org.matrix.msc3381.poll.disclosed", "m.disclosed", "m.poll.disclosed")
# MSC3381: at most 20 answers.
MAX_ANSWERS = 20


def start_content(poll: Poll) -> JsonDict:
    kind = "disclosed" if poll.is_disclosed else "undisclosed"
    lines = [poll.question, *(f"{number}. {text}" for number, (_, text) in enumerate(poll.answers, 1))]
    return {
        _TEXT: "\n".join(lines),
        "body": "\n".join(lines),
        "msgtype": "m.text",
        START: {
            "question": {_TEXT: poll.question, "body": poll.question, "msgtype": "m.text"},
            "kind": f"org.matrix.msc3381.poll.{kind}",
            "max_selections": poll.max_selections,
            "answers": [{"id": id_, _TEXT: text} for id_, text in poll.answers[:MAX_ANSWERS]],
        },
    }


def response_content(event_id: str, answers: list[str]) -> JsonDict:
    return {"m.relates_to": {"rel_type": "m.reference", "event_id": event_id}, RESPONSE: {"answers": answers}}


def end_content(event_id: str, text: str) -> JsonDict:
    told = text or "The poll has ended."
    return {"m.relates_to": {"rel_type": "m.reference", "event_id": event_id}, END: {}, _TEXT: told, "body": told}


def read_start(content: JsonDict) -> Poll | None:
    """The poll of a start event; None for nonsense."""
    poll = next((content[name] for name in STARTS if isinstance(content.get(name), dict)), None)
    if poll is None:
        return None
    answers = poll.get("answers")
    read = []
    for answer in answers[:MAX_ANSWERS] if isinstance(answers, list) else []:
        if isinstance(answer, dict):
            id_ = answer.get("id", answer.get("m.id"))
            if isinstance(id_, str):
                read.append((id_, _text(answer)))
    question = poll.get("question")
    most = poll.get("max_selections", 1)
    if not read or not isinstance(question, dict):
        return None
    return Poll(
        question=_text(question),
        answers=tuple(read),
        max_selections=most if isinstance(most, int) and most > 0 else 1,
        is_disclosed=poll.get("kind") in _DISCLOSED,
    )


def read_answers(content: JsonDict) -> list[str] | None:
    response = next((content[name] for name in RESPONSES if isinstance(content.get(name), dict)), None)
    answers = response.get("answers") if response is not None else content.get("m.selections")
    if not isinstance(answers, list):
        return None
    return [answer for answer in answers if isinstance(answer, str)][:MAX_ANSWERS]


def _text(value: JsonDict) -> str:
    for name in (_TEXT, "m.text", "body"):
        text = value.get(name)
        if isinstance(text, str):
            return text
        if isinstance(text, list) and text and isinstance(text[0], dict) and isinstance(text[0].get("body"), str):
            return str(text[0]["body"])
    return ""
