"""A server that answers what it is asked with nonsense: with no answer at all, or a good one with one fault in it."""

import json
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import pytest
from attrs import define

from federation.outbound.wire import WireAnswer
from tests.support.fake_server import FakeServer
from tests.support.federation import Sent
from tests.support.mutations import EXTREME, NO_OBJECT, NOT_JSON, mutations, schema_of


def _raw(body: bytes, status: int = 200, content_type: str = "application/json") -> WireAnswer:
    return WireAnswer(status, {"content-type": content_type}, body)


# What is no answer to anything. None of it says that the server is down: it would be left alone then.
NO_ANSWERS: Mapping[str, Any] = {
    **{what: _raw(body) for what, body in {**NOT_JSON, **NO_OBJECT, **EXTREME}.items()},
    "a hundred thousand lists": _raw(b'{"a": [' + b"[]," * 100_000 + b"[]]}"),
    "more than is taken": _raw(b"{}" + b" " * (10 << 20)),
    "HTML": _raw(b"<html>It works</html>", content_type="text/html"),
    "a redirect": WireAnswer(302, {"location": "https://one.test/"}, b""),
    "no content": _raw(b"", 204),
    "a refusal that is none": _raw(b"<html>no</html>", 400, "text/html"),
    "a refusal of numbers": (400, {"errcode": 5, "error": [17]}),
    "a refusal of NUL": (403, {"errcode": "M_\x00", "error": "\x00" * 1000}),
    "a refusal without end": (404, {"errcode": "M_" + "X" * 70_000, "error": "x" * 70_000}),
    "a teapot": (418, []),
}


@define
class Liar:
    """What it answers is the next of all that is no answer, or of the mutations of what it ought to answer.

        while liar.goes_on():
            ...ask, and judge...
            liar.next(stride)

    `what` says which it was. Of mutations, which are much alike, every `stride`-th.
    """

    server: FakeServer
    number: int = 0
    total: int = 0
    was_asked: bool = False
    what: str = ""
    _mutations: int = 0

    def goes_on(self) -> bool:
        return not self.was_asked or self.number < self.total

    def next(self, stride: int = 1) -> None:
        self.number += stride if self.number >= len(NO_ANSWERS) else 1

    def answers(self, method: str, path: str, good: Callable[[Sent], Any]) -> None:
        self.server.answers(method, path, lambda sent: self._answer(good(sent)))

    def _answer(self, good: Any) -> Any:
        count = len(NO_ANSWERS)
        if self.number >= count:
            return self.lie(good, self.number - count, count)
        self.was_asked, self.total = True, count + 1
        self.what = list(NO_ANSWERS)[self.number]
        return NO_ANSWERS[self.what]

    def lie(self, good: Any, number: int, before: int = 0) -> Any:
        """The good answer with its `number`-th fault."""
        good = json.loads(json.dumps(good))
        if not self._mutations:
            self._mutations = sum(1 for _ in mutations(schema_of(good), good))
        self.was_asked, self.total = True, before + self._mutations
        mutation = next(islice(mutations(schema_of(good), good), number % self._mutations, None))
        self.what = f"{mutation.where} {mutation.what}"
        return mutation.body

    def begin(self) -> None:
        """Anew, with another answer."""
        self.number, self.total, self.was_asked, self._mutations = 0, 0, False, 0


@pytest.fixture
def liar(two: FakeServer) -> Liar:
    """two.test."""
    return Liar(two)


__all__ = ["NO_ANSWERS", "Liar", "liar"]
