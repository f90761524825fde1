"""The life of a server process."""

import pytest
from twisted.internet import task
from twisted.internet.defer import Deferred

from homeserver.cli.serving import DRAIN_S, Signals, announcement, live
from homeserver.runtime.clock import Clock


class FakeReactor:
    """Runs at once what a signal handler hands over."""

    def callFromThread(self, function: object, *args: object) -> None:
        function(*args)  # type: ignore[operator]


class FakeServer:
    """A server whose stop the test holds back."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.drained: Deferred[None] = Deferred()
        self.start_error: Exception | None = None
        self.first_user_token: str | None = None

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.story.append("listens")

    def reload(self) -> None:
        self.story.append("reloads")

    async def stop(self) -> None:
        self.story.append("drains")
        await self.drained


class World:
    def __init__(self) -> None:
        self.story: list[str] = []
        self.said: list[str] = []
        self.reactor = task.Clock()
        self.exits: list[int] = []
        self.signals = Signals(FakeReactor(), exit_now=self.exits.append)  # type: ignore[arg-type]
        self.server = FakeServer(self.story)
        self.built: Deferred[FakeServer] = Deferred()

    def live(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(
            live(
                lambda: self.built,
                signals=self.signals,
                clock=Clock(self.reactor),
                on_ready=lambda server: self.story.append("ready"),
                say=self.said.append,
            )
        )


@pytest.fixture
def world() -> World:
    return World()


def test_a_server_lives_until_a_signal_and_drains(world: World) -> None:
    life = world.live()
    world.built.callback(world.server)
    assert world.story == ["listens", "ready"]
    world.signals.caught(15, None)
    assert world.story == ["listens", "ready", "drains"]
    assert not life.called
    world.server.drained.callback(None)
    assert life.called
    assert world.reactor.getDelayedCalls() == []


def test_a_hangup_reloads_what_may_change_while_the_server_runs(world: World) -> None:
    world.signals.on_hangup.append(lambda: world.story.append("logging"))
    world.live()
    world.signals.hung_up(1, None)
    world.built.callback(world.server)
    world.signals.hung_up(1, None)
    assert world.story == ["logging", "listens", "ready", "logging", "reloads"]


def test_draining_takes_ten_seconds_at_most(world: World) -> None:
    life = world.live()
    world.built.callback(world.server)
    world.signals.caught(15, None)
    world.reactor.advance(DRAIN_S)
    assert life.called
    assert "Not everything had ended" in world.said[-1]


def test_a_second_signal_exits_at_once(world: World) -> None:
    world.live()
    world.built.callback(world.server)
    world.signals.caught(15, None)
    world.signals.caught(2, None)
    assert world.exits == [130]


def test_a_signal_during_the_start_ends_it_before_it_listens(world: World) -> None:
    world.live()
    world.signals.caught(15, None)
    world.built.callback(world.server)
    assert world.story == ["drains"]


def test_a_server_that_cannot_start_is_closed_and_its_error_told(world: World) -> None:
    errors: list[BaseException] = []
    world.server.start_error = OSError("in use")
    world.server.drained.callback(None)
    life = world.live()
    life.addErrback(lambda failure: errors.append(failure.value))
    world.built.callback(world.server)
    assert world.story == ["drains"]
    assert errors == [world.server.start_error]


def announced(token: str | None) -> str:
    return announcement(
        listening=["http://localhost:8008", "https://[::]:8448"],
        server_name="example.org",
        base_url="https://example.org",
        token=token,
        register_command="hearth register-user --admin --data /srv/hearth",
    )


def test_a_ready_server_says_where_it_is_and_how_to_connect() -> None:
    text = announced(None)
    assert "listening on http://localhost:8008" in text
    assert "listening on https://[::]:8448" in text
    assert "\n  https://example.org\n" in text
    assert "setup" not in text


def test_a_server_without_users_says_how_to_make_the_first() -> None:
    text = announced("t0ken")
    assert "https://example.org/_hearth/setup?token=t0ken" in text
    assert "hearth register-user --admin --data /srv/hearth" in text
