"""The methods of the Web API, by family; importing them declares them."""

from tests.support.fake_slack.methods import chat, conversations, files, history, marks, people, sessions

__all__ = ["chat", "conversations", "files", "history", "marks", "people", "sessions"]
