"""Mails of what a user has not read: when they come, what they say, and how they end."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_twisted
from attrs import define
from twisted.internet import reactor

from matrix.ids import UserId
from tests.integration.client_api.test_addresses import MailSite, site
from tests.support.homeserver import PASSWORD, Client, Homeserver, q

__all__ = ["site"]

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
ADDRESS = "alice@example.org"


def options(site: MailSite, more: str = "") -> str:
    smtp = f"smtp_host: 127.0.0.1, smtp_port: {site.port}, enable_tls: false, app_name: Tea"
    return f"email: {{{smtp}, notif_from: '%(app)s <tea@hearth.test>', enable_notifs: true{more}}}"


@define(eq=False)
class World:
    """Alice has an address; Bob writes to her. Time is moved by hand."""

    hs: Homeserver
    site: MailSite
    alice: Client
    bob: Client
    room: str
    shift_ms: int = 0

    @classmethod
    async def make(cls, hs: Homeserver, site: MailSite) -> "World":
        alice, bob = await hs.register("alice"), await hs.register("bob")
        hs.rows("INSERT INTO threepids VALUES ('email', %s, %s, 1, 1)", ADDRESS, alice.user_id)
        room = await bob.create_room(name="Tea <room>", preset="private_chat", invite=[alice])
        await alice.join(room)
        world = cls(hs, site, alice, bob, room)
        hs.core.clock._wall = lambda: reactor.seconds() + world.shift_ms / 1000
        return world

    async def want_mails(self) -> None:
        await self.set_pusher("email")

    async def set_pusher(self, kind: str | None, address: str = ADDRESS, status: int = 200, **data: str) -> None:
        body = {
            "app_id": "m.email", "pushkey": address, "kind": kind, "lang": "en", "data": data,
            "app_display_name": "Email Notifications", "device_display_name": address, "append": True,
        }  # fmt: skip
        response = await self.alice.ask("POST", "/pushers/set", body)
        assert response.status == status, response

    async def later(self, ms: int) -> int:
        """How many mails have come in all, so much later."""
        self.shift_ms += ms
        await look(self.hs)
        return len(self.site.mails)


async def look(hs: Homeserver) -> None:
    mails = hs.server._pushing.mails
    assert mails is not None
    await mails.delivery.look()


@pytest_twisted.async_yield_fixture
async def world(start_homeserver: Any, site: MailSite) -> Iterator[World]:
    yield await World.make(await start_homeserver(options(site)), site)


def parts(mail: Any) -> tuple[str, str]:
    """The mail as text, and as HTML."""
    text, html = mail.get_payload()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return text.get_payload(decode=True).decode(), html.get_payload(decode=True).decode()


async def test_what_is_unread_for_ten_minutes_is_told_by_mail(world: World) -> None:
    await world.want_mails()
    event_id = await world.bob.send(world.room, "the kettle is on <b>now</b>\nCome!")
    assert await world.later(0) == 0
    assert await world.later(9 * MINUTE_MS) == 0
    assert await world.later(MINUTE_MS) == 1
    [mail] = world.site.mails
    assert mail["To"] == ADDRESS
    assert mail["Subject"] == "[Tea] You have a message on Tea from bob in the Tea <room> room..."
    text, html = parts(mail)
    assert "the kettle is on <b>now</b>" in text
    assert "the kettle is on &lt;b&gt;now&lt;/b&gt;<br>Come!" in html
    assert "Tea &lt;room&gt;" in html
    assert f"https://matrix.to/#/{world.room}" in text
    assert event_id


async def test_what_was_read_meanwhile_is_not_told(world: World) -> None:
    await world.want_mails()
    event_id = await world.bob.send(world.room, "seen")
    assert await world.later(0) == 0
    await world.alice.ok("POST", f"/rooms/{q(world.room)}/receipt/m.read/{q(event_id)}", {})
    assert await world.later(HOUR_MS) == 0


async def test_one_mail_tells_of_all_that_is_unread(world: World) -> None:
    await world.want_mails()
    other = await world.bob.create_room(invite=[world.alice])
    await world.bob.send(world.room, "one")
    assert await world.later(5 * MINUTE_MS) == 0
    await world.bob.send(world.room, "two")
    assert await world.later(6 * MINUTE_MS) == 1
    text, _ = parts(world.site.mails[0])
    assert "one" in text
    assert "two" in text
    assert f"Join the conversation: https://matrix.to/#/{other}" in text
    assert world.site.mails[0]["Subject"] == "[Tea] You have messages on Tea in the Tea <room> room and others..."


async def test_after_some_mails_about_a_room_the_next_waits_for_a_day(world: World) -> None:
    await world.want_mails()
    await world.bob.send(world.room, "one")
    assert await world.later(0) == 0
    assert await world.later(10 * MINUTE_MS) == 1
    await world.bob.send(world.room, "two")
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 2
    await world.bob.send(world.room, "three")
    await world.later(0)
    assert await world.later(11 * HOUR_MS) == 2
    assert await world.later(14 * HOUR_MS) == 3


async def test_what_was_told_is_remembered_by_the_next_process(
    world: World, start_homeserver: Any, site: MailSite
) -> None:
    await world.want_mails()
    await world.bob.send(world.room, "one")
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 1
    await world.hs.stop()
    again = await start_homeserver(options(site))
    again.core.clock._wall = lambda: reactor.seconds() + (world.shift_ms + HOUR_MS) / 1000
    await look(again)
    assert len(site.mails) == 1
    await world.bob.at(again).send(world.room, "two")
    await look(again)
    again.core.clock._wall = lambda: reactor.seconds() + (world.shift_ms + 2 * HOUR_MS) / 1000
    await look(again)
    assert len(site.mails) == 2


async def test_of_several_processes_one_sends_the_mail(world: World, start_homeserver: Any, site: MailSite) -> None:
    other = await start_homeserver(options(site))
    await world.want_mails()
    await look(other)
    await world.bob.send(world.room, "one")
    await other.has_heard(world.hs)
    other.core.clock._wall = world.hs.core.clock._wall
    for _ in range(2):
        await look(other)
        await world.later(10 * MINUTE_MS)
        await look(other)
    assert len(site.mails) == 1


async def test_a_mail_that_was_not_taken_is_sent_later(world: World) -> None:
    await world.want_mails()
    world.site.refuses = True
    await world.bob.send(world.room, "one")
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 0
    world.site.refuses = False
    assert await world.later(0) == 0
    assert await world.later(2 * MINUTE_MS) == 1


async def test_an_encrypted_message_is_named_as_such(world: World) -> None:
    await world.want_mails()
    await world.bob.send_event(world.room, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"})
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 1
    assert "An encrypted message." in parts(world.site.mails[0])[0]


async def test_a_mail_is_called_after_the_client_that_asked_for_it(world: World) -> None:
    await world.set_pusher("email", brand="Kettle")
    await world.bob.send(world.room, "one")
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 1
    assert world.site.mails[0]["Subject"].startswith("[Kettle] You have a message on Kettle")


async def test_mails_go_to_ones_own_addresses_only(world: World) -> None:
    await world.set_pusher("email", "bob@example.org", status=400)
    assert (await world.alice.get("/pushers"))["pushers"] == []


async def test_with_the_address_go_its_mails(world: World) -> None:
    await world.want_mails()
    await world.alice.ok("POST", "/account/3pid/delete", {"medium": "email", "address": ADDRESS})
    assert (await world.alice.get("/pushers"))["pushers"] == []
    await world.bob.send(world.room, "one")
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 0


async def test_mails_go_on_when_the_device_is_signed_out_and_end_with_the_account(world: World) -> None:
    await world.want_mails()
    await world.alice.ok("POST", "/logout", {})
    world.alice = await world.hs.log_in("alice")
    [pusher] = (await world.alice.get("/pushers"))["pushers"]
    assert (pusher["kind"], pusher["pushkey"]) == ("email", ADDRESS)
    deactivation = world.hs.server.users.deactivation
    await deactivation.deactivate(UserId(world.alice.user_id))
    await deactivation.resume()
    assert world.hs.rows("SELECT 1 FROM pushers") == []


async def test_the_link_in_a_mail_ends_the_mails(world: World) -> None:
    await world.want_mails()
    await world.bob.send(world.room, "one")
    await world.later(0)
    await world.later(10 * MINUTE_MS)
    [mail] = world.site.mails
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail["List-Unsubscribe"].strip("<>")
    assert link in parts(mail)[0]
    path = link.removeprefix("https://hearth.test")
    shown = await world.hs.ask("GET", path)
    assert (shown.status, b"<button>" in shown.body) == (200, True)
    assert len((await world.alice.get("/pushers"))["pushers"]) == 1
    assert (await world.hs.ask("POST", path.replace("alice%40", "eve%40"))).status == 403
    assert (await world.hs.ask("POST", path)).status == 200
    assert (await world.alice.get("/pushers"))["pushers"] == []
    assert parse_qs(urlsplit(path).query)["user_id"] == [world.alice.user_id]


async def test_who_registers_with_an_address_gets_mails(start_homeserver: Any, site: MailSite) -> None:
    free = "rc_3pid_validation: {per_second: 1000, burst_count: 1000}"
    hs = await start_homeserver(f"{options(site)}\nregistrations_require_3pid: [email]\n{free}")
    wish = {"client_secret": "secret", "email": ADDRESS, "send_attempt": 1}
    sid = (await hs.ask("POST", "/register/email/requestToken", wish)).json["sid"]
    [link] = re.findall(r"https://\S+", site.mails[0].get_payload(decode=True).decode())
    assert (await hs.ask("POST", link.removeprefix("https://hearth.test"))).status == 200
    auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": "secret"}}
    response = await hs.ask("POST", "/register", {"username": "carol", "password": PASSWORD, "auth": auth})
    assert response.status == 200, response
    [pusher] = (await Client(hs, response.json).get("/pushers"))["pushers"]
    assert (pusher["kind"], pusher["app_id"], pusher["pushkey"]) == ("email", "m.email", ADDRESS)


async def test_without_content_a_mail_says_only_that_there_is_something(start_homeserver: Any, site: MailSite) -> None:
    more = "\npush: {include_content: false}"
    world = await World.make(await start_homeserver(options(site) + more), site)
    await world.want_mails()
    await world.bob.send(world.room, "a secret")
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 1
    assert "secret" not in "".join(parts(site.mails[0]))


async def test_an_operators_templates_and_subjects_are_used(
    start_homeserver: Any, site: MailSite, tmp_path: Path
) -> None:
    (tmp_path / "own.txt").write_text(
        "{% for r in rooms %}{{ r.title }}:{{ r.notifs[0].messages[0].ts|format_ts('%Y') }}"
    )
    (tmp_path / "own.txt").write_text("{% for r in rooms %}[{{ r.title }}]{% endfor %} {{ server_name }}")
    more = f", template_dir: {tmp_path}, notif_template_text: own.txt"
    more += ", subjects: {message_from_person_in_room: '%(room)s %(nothing)s %s'}, client_base_url: 'https://chat.test'"
    world = await World.make(await start_homeserver(options(site, more)), site)
    await world.want_mails()
    await world.bob.send(world.room, "hello")
    await world.later(0)
    assert await world.later(10 * MINUTE_MS) == 1
    text, html = parts(site.mails[0])
    assert text.strip() == "[Tea <room>] hearth.test"
    assert f"https://chat.test/#/room/{world.room}" in html
    assert site.mails[0]["Subject"] == "Tea <room> %(nothing)s %s"


async def test_where_mails_are_not_configured_there_are_no_such_pushers(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    body = {
        "app_id": "m.email", "pushkey": ADDRESS, "kind": "email", "lang": "en", "data": {},
        "app_display_name": "a", "device_display_name": "b",
    }  # fmt: skip
    assert (await alice.ask("POST", "/pushers/set", body)).status == 400


@pytest.mark.parametrize("template", ["{% for %}", "{% include 'nowhere' %}{{"])
async def test_a_bad_template_is_told_at_the_start(
    start_homeserver: Any, site: MailSite, tmp_path: Path, template: str
) -> None:
    (tmp_path / "notif_mail.txt").write_text(template)
    with pytest.raises(Exception, match="template_dir"):
        await start_homeserver(options(site, f", template_dir: {tmp_path}"))
