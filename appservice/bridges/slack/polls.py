"""Polls of Matrix, shown in Slack by buttons: their blocks, and the votes, which Slack does not keep."""

from collections.abc import Mapping
from typing import Any

from appservice.bridges.core.incoming import Poll

JsonDict = dict[str, Any]
# What our own buttons are known by.
ACTION = "hearth_poll"
MAX_LABEL = 70
MAX_TEXT = 2_900


def poll_text(poll: Poll) -> str:
    lines = [poll.question, *(f"{number}. {text}" for number, (_, text) in enumerate(poll.answers, 1))]
    return "\n".join(lines)[:MAX_TEXT]


def poll_blocks(poll: Poll, counts: Mapping[str, int], *, is_ended: bool) -> list[JsonDict]:
    """The question, the answers with their counts, and a button for each. An ended one has no buttons."""
    shows = is_ended or poll.is_disclosed
    lines = [
        f"{number}. {text}" + (f"  ({counts.get(id_, 0)})" if shows else "")
        for number, (id_, text) in enumerate(poll.answers, 1)
    ]
    blocks: list[JsonDict] = [
        {"type": "section", "text": {"type": "plain_text", "text": poll.question[:MAX_TEXT] or "Poll"}},
        {"type": "section", "text": {"type": "plain_text", "text": "\n".join(lines)[:MAX_TEXT] or "-"}},
    ]
    said = "The poll has ended." if is_ended else _rule(poll)
    blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": said}]})
    if not is_ended:
        blocks.append({"type": "actions", "block_id": ACTION, "elements": [*map(_button, poll.answers[:25])]})
    return blocks


def _rule(poll: Poll) -> str:
    most = poll.max_selections
    return "Choose one." if most == 1 else f"Choose up to {most}."


def _button(answer: tuple[str, str]) -> JsonDict:
    id_, text = answer
    label = text[:MAX_LABEL] or "-"
    return {"type": "button", "action_id": f"{ACTION}:{id_}"[:255], "text": {"type": "plain_text", "text": label}}


def poll_state(poll: Poll) -> JsonDict:
    """What is remembered of a poll: `votes` by voter."""
    answers = [list(answer) for answer in poll.answers]
    return {
        "question": poll.question,
        "answers": answers,
        "most": poll.max_selections,
        "is_disclosed": poll.is_disclosed,
        "votes": {},
        "is_ended": False,
    }


def poll_of(state: JsonDict) -> Poll:
    return Poll(
        question=state["question"],
        answers=tuple((id_, text) for id_, text in state["answers"]),
        max_selections=state["most"],
        is_disclosed=state["is_disclosed"],
    )


def counts_of(state: JsonDict) -> dict[str, int]:
    counts: dict[str, int] = {}
    for vote in state["votes"].values():
        for answer in vote["answers"]:
            counts[answer] = counts.get(answer, 0) + 1
    return counts


def pressed(state: JsonDict, voter: str, answer: str, at: str) -> tuple[JsonDict, tuple[str, ...]]:
    """The state after a button was pressed, and what the voter has chosen then.

    A press that was counted before (`at` is when it happened) changes nothing: it may be read again.
    """
    vote = state["votes"].get(voter, {"answers": [], "at": ""})
    if state["is_ended"] or vote["at"] >= at or answer not in {id_ for id_, _ in state["answers"]}:
        return state, tuple(vote["answers"])
    chosen = [each for each in vote["answers"] if each != answer]
    if len(chosen) == len(vote["answers"]):
        # One too many takes the place of the first; of a single choice that is the old one.
        chosen = [*chosen, answer][-state["most"] :]
    return voted(state, voter, tuple(chosen), at), tuple(chosen)


def voted(state: JsonDict, voter: str, answers: tuple[str, ...], at: str) -> JsonDict:
    return {**state, "votes": {**state["votes"], voter: {"answers": list(answers), "at": at}}}


def answer_of(action_id: str) -> str | None:
    """The answer that a button of ours stands for."""
    prefix = f"{ACTION}:"
    return action_id.removeprefix(prefix) if action_id.startswith(prefix) else None
