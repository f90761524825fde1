"""The fake as tests use it: in a thread of its own, with people who do things.

    slack = FakeSlack()
    slack.start()
    app = slack.add_app("Hearth")
    maria = slack.add_person("maria")
    general = slack.add_channel("general", maria, app)
    ts = maria.post(general, "hello")
    slack.wait(lambda: slack.texts(general) == ["hello", "hi"])
    slack.stop()

Whatever is called here runs in the fake's loop and comes back when it has happened.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.support.fake_slack.core import Core
from tests.support.fake_slack.grants import BOT_SCOPES, USER_SCOPES, App, Token
from tests.support.fake_slack.methods.files import new_file, share
from tests.support.fake_slack.server import Server
from tests.support.fake_slack.world import Channel, Json
from tests.support.ports import free_port

T = TypeVar("T")
WAIT_S = 20.0


class FakeSlack:
    """A workspace. `core` is to be changed only within `do`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_url = f"{self.url}/api/"
        self.core = Core(self.url)
        self._changed = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slack", daemon=True)
        self.server = Server(self.core, self._changed.set)

    def start(self) -> None:
        self._thread.start()
        self.run(self.server.start(self.port))

    def stop(self) -> None:
        self.run(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    def do(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        async def called() -> T:
            return function(*args, **kwargs)

        return self.run(called())

    def wait(self, condition: Callable[[], T], timeout_s: float = WAIT_S) -> T:
        """Its first true value. Raises: AssertionError, if there is none in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._changed.clear()
            value = self.do(condition)
            if value:
                return value
            left = deadline - time.monotonic()
            assert left > 0, "Slack waited in vain"
            # What is waited for may also be no change of the workspace (a connection that is gone).
            self._changed.wait(min(0.2, left))

    # What there is

    def add_app(self, name: str = "Hearth Bridge", scopes: set[str] | frozenset[str] = BOT_SCOPES) -> App:
        return self.do(self.core.add_app, name, scopes)

    def add_person(self, name: str, **more: Any) -> "Person":
        user = self.do(self.core.world.add_user, name, **more)
        return Person(self, user["id"], name)

    def add_channel(self, name: str, *members: "Person | App", kind: str = "channel") -> Channel:
        ids = [member.bot_user_id if isinstance(member, App) else member.id for member in members]
        return self.do(self.core.acts.create_channel, name, ids[0], kind, ids)

    def bot_token(self, app: App) -> Token:
        return next(token for token in app.tokens if token.kind == "xoxb")

    def app_token(self, app: App) -> Token:
        return next(token for token in app.tokens if token.kind == "xapp")

    def authorize(self, app: App, person: "Person", scopes: set[str] | frozenset[str] = USER_SCOPES) -> Token:
        return self.do(self.core.authorize, app, person.id, scopes)

    def browser(self, app: App, person: "Person") -> Token:
        return self.do(self.core.browser, app, person.id)

    # What can be seen

    def messages(self, channel: Channel) -> list[Json]:
        """All that people wrote, oldest first; not who came and went."""
        quiet = ("_join", "_leave", "_topic", "_purpose", "_name")
        return self.do(lambda: [m for m in channel.sorted_messages() if not m.get("subtype", "").endswith(quiet)])

    def texts(self, channel: Channel) -> list[str]:
        return [message["text"] for message in self.messages(channel)]

    def wait_message(self, channel: Channel, condition: Callable[[Json], object]) -> Json:
        """The first message of which it is true, when there is one."""
        return self.wait(lambda: next((m for m in channel.sorted_messages() if condition(m)), None))  # type: ignore[return-value]

    def calls(self, method: str) -> list[Json]:
        return self.do(lambda: [args for name, args in self.core.calls if name == method])

    # What goes wrong

    def cut_sockets(self) -> None:
        self.run(self.server.sockets.cut())

    def ask_to_reconnect(self, app: App, reason: str = "refresh_requested") -> None:
        for connection in self.do(self.server.sockets.of, app):
            self.run(self.server.sockets.disconnect(connection, reason))

    def fail(self, method: str, times: int = 1, **how: Any) -> None:
        self.do(self.core.faults.fail, method, times, **how)

    def revoke(self, token: Token) -> None:
        self.do(self.core.revoke, token)

    def delete_channel(self, channel: Channel, by: "Person") -> None:
        self.do(self.core.acts.delete_channel, channel, by.id)


class Person:
    """Somebody at the client of Slack."""

    def __init__(self, slack: FakeSlack, user_id: str, name: str) -> None:
        self._slack = slack
        self._acts = slack.core.acts
        self.id = user_id
        self.name = name

    def post(self, channel: Channel, text: str, *, thread: str | None = None, **more: Any) -> str:
        """Gives the ts. With `broadcast=True` a reply is in the channel too."""
        message: Json = {"user": self.id, "text": text, "client_msg_id": "c0ffee", **more}
        if thread:
            message["thread_ts"] = thread
        if message.pop("broadcast", False):
            message |= {"subtype": "thread_broadcast", "root": channel.messages[str(thread)]}
        return str(self._slack.do(self._acts.post, channel, message)["ts"])

    def edit(self, channel: Channel, ts: str, text: str, **more: Any) -> None:
        changes = {"text": text, "blocks": [], **more}
        self._slack.do(self._acts.edit, channel, ts, changes, self.id)

    def delete(self, channel: Channel, ts: str) -> None:
        self._slack.do(self._acts.delete, channel, ts)

    def share(self, channel: Channel, name: str, content: bytes, text: str = "", mimetype: str | None = None) -> str:
        """Uploads a file into a channel."""

        def shared() -> str:
            core = self._slack.core
            file = new_file(core, name, len(content), self.id, mimetype)
            core.world.files[file["id"]], core.world.contents[file["id"]] = file, content
            return str(share(core, channel, [file], {"user": self.id}, text)["ts"])

        return self._slack.do(shared)

    def react(self, channel: Channel, ts: str, name: str) -> None:
        self._slack.do(self._acts.react, channel, ts, name, self.id)

    def unreact(self, channel: Channel, ts: str, name: str) -> None:
        self._slack.do(self._acts.unreact, channel, ts, name, self.id)

    def pin(self, channel: Channel, ts: str) -> None:
        self._slack.do(self._acts.pin, channel, ts, self.id)

    def unpin(self, channel: Channel, ts: str) -> None:
        self._slack.do(self._acts.unpin, channel, ts, self.id)

    def join(self, channel: Channel) -> None:
        self._slack.do(self._acts.join, channel, self.id)

    def leave(self, channel: Channel) -> None:
        self._slack.do(self._acts.leave, channel, self.id)

    def rename(self, channel: Channel, name: str) -> None:
        self._slack.do(self._acts.rename, channel, name, self.id)

    def set_topic(self, channel: Channel, topic: str) -> None:
        self._slack.do(self._acts.set_topic, channel, topic, self.id)

    def invite(self, channel: Channel, who: "Person | App") -> None:
        user_id = who.bot_user_id if isinstance(who, App) else who.id
        self._slack.do(self._acts.join, channel, user_id, self.id)

    def open_direct(self, *others: "Person | App") -> Channel:
        ids = [other.bot_user_id if isinstance(other, App) else other.id for other in others]
        return self._slack.do(self._acts.open_direct, ids, self.id)[0]

    def type_in(self, channel: Channel) -> None:
        self._slack.do(self._acts.typing, channel, self.id)

    def mark(self, channel: Channel, ts: str) -> None:
        self._slack.do(self._acts.mark, channel, self.id, ts)

    def is_now(self, presence: str) -> None:
        self._slack.do(self._acts.change_presence, self.id, presence)

    def change_profile(self, **profile: Any) -> None:
        self._slack.do(self._acts.change_profile, self.id, **profile)

    def click(self, channel: Channel, ts: str, action_id: str, **action: Any) -> None:
        """Presses a button: `value=`; or chooses from a menu: `selected_option={"value": ...}`."""
        given = {"type": "button", "action_id": action_id, **action}
        self._slack.do(self._slack.core.interact, channel, ts, self.id, given)
