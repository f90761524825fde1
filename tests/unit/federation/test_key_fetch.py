"""Keys of many servers: one server is asked in a turn of the reactor, for connecting and greeting take it a while."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock as TwistedClock
from zope.interface import implementer

from federation.outbound.errors import Unreachable
from federation.outbound.key_fetch import FEW, KeyFetch
from homeserver.runtime.clock import Clock
from matrix.ids import ServerName


@implementer(IReactorTime)
class Turns:
    """A reactor that turns by hand: what is due at once is called in the next turn, as in the real one."""

    def __init__(self) -> None:
        self._later = TwistedClock()
        self._due: list[Any] = []

    def seconds(self) -> float:
        return self._later.seconds()

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = self._later.callLater(max(delay, 1), function, *args, **kwargs)
        if not delay:
            self._due.append(call)
        return call

    def turn(self) -> None:
        due, self._due = self._due, []
        for call in due:
            if call.active():
                call.reset(0)
        self._later.advance(0)


class Nobody:
    """A network of servers that are all gone."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, destination: str, path: str, **_: Any) -> Any:
        self.asked.append(destination)
        raise Unreachable(destination, "it is gone")


def fetching(count: int) -> tuple[Turns, Nobody, "Deferred[Any]"]:
    turns, network = Turns(), Nobody()
    fetch = KeyFetch(transport=network, clock=Clock(turns))  # type: ignore[arg-type]
    wanted = {ServerName(f"s{number}.test"): {"ed25519:a": 0} for number in range(count)}
    return turns, network, Deferred.fromCoroutine(fetch.fetch(wanted, since=0))


def test_of_many_servers_one_is_asked_at_each_turn() -> None:
    turns, network, fetched = fetching(20)
    asked = [len(network.asked)]
    while not fetched.called:
        turns.turn()
        asked.append(len(network.asked))
    assert len(set(network.asked)) == 20
    assert max(after - before for before, after in pairwise(asked)) == 1
    assert fetched.result == {}


def test_a_few_are_asked_at_once() -> None:
    _, network, _ = fetching(FEW)
    assert len(network.asked) == FEW
