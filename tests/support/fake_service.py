"""An application service that takes transactions and remembers them, as a good bridge does, and says what is wrong.

It holds the homeserver to the promises: one transaction at a time, the same body for the same id, `events` always
there, at most a hundred of each kind.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import yaml
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.appservice import Answer, Asked, FakeService, fake_service

WAIT_S = 60.0
TAKEN: Answer = (200, {})
REFUSED: Answer = (500, {"errcode": "M_UNKNOWN", "error": "not today"})
MOST = 100


async def until(condition: Callable[[], object]) -> None:
    """Lets the reactor turn until the condition holds."""
    deadline = monotonic() + WAIT_S
    while not condition():
        assert monotonic() < deadline, "it did not come to that"
        await deferLater(reactor, 0)


async def until_next_turn() -> None:
    """Lets the reactor turn once: a request in memory may be answered without that."""
    await deferLater(reactor, 0)


@define(eq=False)
class ListeningService:
    """`says`: what it answers to a transaction; what it answers well is taken."""

    id: str
    fake: FakeService
    says: Callable[[Asked], Any] = lambda asked: TAKEN
    attempts: list[tuple[str, bytes]] = field(factory=list)
    taken: dict[str, Any] = field(factory=dict)
    faults: list[str] = field(factory=list)
    under_way: int = 0

    async def take(self, asked: Asked) -> Any:
        if "transactions" not in asked.segments:
            return TAKEN
        txn_id = asked.segments[-1]
        if self.under_way:
            self.faults.append("two transactions at once")
        if any(other == txn_id and body != asked.body for other, body in self.attempts):
            self.faults.append(f"another body for {txn_id}")
        self.attempts.append((txn_id, asked.body))
        self._look_at(asked.json)
        self.under_way += 1
        try:
            said = self.says(asked)
            said = await said if hasattr(said, "__await__") else said
        finally:
            self.under_way -= 1
        if said is not None and 200 <= said[0] < 300:
            self.taken.setdefault(txn_id, asked.json)
        return said

    def _look_at(self, body: Any) -> None:
        if not isinstance(body.get("events"), list):
            self.faults.append("no events")
        for name in ("events", "ephemeral", "to_device"):
            if len(body.get(name, ())) > MOST:
                self.faults.append(f"too many {name}")
        for stable, unstable in (
            ("ephemeral", "de.sorunome.msc2409.ephemeral"),
            ("to_device", "de.sorunome.msc2409.to_device"),
            ("device_lists", "org.matrix.msc3202.device_lists"),
            ("device_one_time_keys_count", "org.matrix.msc3202.device_one_time_keys_count"),
            ("device_one_time_keys_count", "org.matrix.msc3202.device_one_time_key_counts"),
            ("device_unused_fallback_key_types", "org.matrix.msc3202.device_unused_fallback_key_types"),
        ):
            if body.get(stable) != body.get(unstable):
                self.faults.append(f"{stable} is not {unstable}")

    def _all(self, name: str) -> list[Any]:
        return [one for body in self.taken.values() for one in body.get(name, ())]

    @property
    def events(self) -> list[Any]:
        return self._all("events")

    @property
    def edus(self) -> list[Any]:
        return self._all("ephemeral")

    @property
    def messages(self) -> list[Any]:
        return self._all("to_device")

    @property
    def device_lists(self) -> list[Any]:
        return [body["device_lists"] for body in self.taken.values() if "device_lists" in body]

    def of_type(self, event_type: str) -> list[Any]:
        return [one for one in (*self.events, *self.edus) if one["type"] == event_type]

    @property
    def texts(self) -> list[str]:
        """The bodies of messages, as they were taken."""
        return [event["content"]["body"] for event in self.of_type("m.room.message")]

    def check(self) -> None:
        """Nothing was wrong, nothing came twice."""
        assert not self.faults
        doubled = [name for name, times in Counter(event["event_id"] for event in self.events).items() if times > 1]
        assert not doubled

    def registration(self, **more: Any) -> str:
        """Its registration file."""
        values: dict[str, Any] = {
            "id": self.id,
            "url": self.fake.url,
            "as_token": f"as-{self.id}",
            "hs_token": f"hs-{self.id}",
            "sender_localpart": f"_{self.id}_bot",
            "rate_limited": False,
            "namespaces": {
                "users": [{"exclusive": True, "regex": f"@_{self.id}_.*"}],
                "aliases": [{"exclusive": True, "regex": f"#_{self.id}_.*"}],
                "rooms": [],
            },
        }
        return yaml.safe_dump({**values, **more})


@contextmanager
def listening_service(id: str = "irc") -> Iterator[ListeningService]:
    """A service that is there. Nothing may have been wrong at its end."""
    with fake_service(lambda asked: TAKEN) as fake:
        service = ListeningService(id, fake)
        fake.answer, fake.takes_transactions = service.take, False
        yield service
    assert not service.faults


class Gate:
    """Answers that wait until the test lets them go."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []
        self.is_open = False
        # What those hear that have waited.
        self.answer: Answer = TAKEN

    async def __call__(self, asked: Asked) -> Answer:
        if not self.is_open:
            self._waiting.append(Deferred())
            await self._waiting[-1]
            return self.answer
        return TAKEN

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def open(self) -> None:
        self.is_open = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
