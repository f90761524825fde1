"""E-mail addresses of accounts, by way of a mail server on loopback."""

import email
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_twisted
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.mail.smtp import ESMTP, IMessage, IMessageDelivery, SMTPFactory
from zope.interface import implementer

from homeserver.services.users.address_checks import LINK
from tests.support.homeserver import PASSWORD, Client, Homeserver

SECRET = "a.client=secret"


@implementer(IMessage)
class Message:
    def __init__(self, site: "MailSite") -> None:
        self._site = site
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self._lines.append(line)

    def eomReceived(self) -> "Deferred[None]":
        self._site.mails.append(email.message_from_bytes(b"\n".join(self._lines)))
        return succeed(None)

    def connectionLost(self) -> None:
        self._lines.clear()


@implementer(IMessageDelivery)
@define
class MailSite:
    """A mail server. `mails` are those that came; `refuses` everything if told to."""

    mails: list[Any] = field(factory=list)
    port: int = 0
    refuses: bool = False

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        return b"Received: by a test"

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return origin

    def validateTo(self, user: Any) -> Any:
        if self.refuses:
            raise RuntimeError("no")
        return lambda: Message(self)

    def link(self, at: int = -1) -> str:
        """The path of the link in a mail."""
        text = self.mails[at].get_payload(decode=True).decode()
        (url,) = re.findall(r"https://\S+", text)
        return str(url.removeprefix("https://hearth.test"))


@pytest_twisted.async_yield_fixture
async def site() -> Iterator[MailSite]:
    site = MailSite()

    class Factory(SMTPFactory):
        protocol = ESMTP

        def buildProtocol(self, address: Any) -> Any:
            protocol = super().buildProtocol(address)
            protocol.delivery = site
            return protocol

    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    site.port = port.getHost().port
    yield site
    await port.stopListening()


def mails(site: MailSite, more: str = "") -> str:
    options = f"smtp_host: 127.0.0.1, smtp_port: {site.port}, enable_tls: false, app_name: Tea"
    free = "rc_3pid_validation: {per_second: 1000, burst_count: 1000}"
    return f"email: {{{options}, notif_from: '%(app)s <tea@hearth.test>'}}\n{free}\n{more}"


def wish(address: str = "alice@example.org", attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"client_secret": SECRET, "email": address, "send_attempt": attempt, **more}


async def request(hs: Homeserver, path: str, **body: Any) -> str:
    response = await hs.ask("POST", f"{path}/email/requestToken", wish(**body))
    assert response.status == 200, response
    return str(response.json["sid"])


async def add(alice: Client, sid: str, password: str = PASSWORD) -> Any:
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": password}
    return await alice.ask("POST", "/account/3pid/add", {"sid": sid, "client_secret": SECRET, "auth": auth})


async def with_address(hs: Homeserver, site: MailSite) -> Client:
    alice = await hs.register("alice")
    sid = await request(hs, "/account/3pid")
    assert (await hs.ask("POST", site.link())).status == 200
    assert (await add(alice, sid)).status == 200
    return alice


async def test_an_address_is_added_after_it_was_confirmed(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    alice = await hs.register("alice")
    assert (await alice.get("/capabilities"))["capabilities"]["m.3pid_changes"] == {"enabled": True}
    sid = await request(hs, "/account/3pid", address="Alice@Example.org")
    (mail,) = site.mails
    assert (mail["To"], mail["From"]) == ("alice@example.org", "Tea <tea@hearth.test>")
    assert mail["Subject"] == "[Tea] Validate your email"
    assert (await add(alice, sid)).errcode == "M_THREEPID_AUTH_FAILED"
    page = await hs.ask("GET", site.link())
    assert (page.status, b"alice@example.org" in page.body) == (200, True)
    assert (await add(alice, sid)).errcode == "M_THREEPID_AUTH_FAILED"
    assert (await hs.ask("POST", site.link())).status == 200
    assert (await add(alice, sid, "wrong")).status == 401
    assert (await add(alice, sid)).json == {}
    (one,) = (await alice.get("/account/3pid"))["threepids"]
    assert (one["medium"], one["address"]) == ("email", "alice@example.org")
    assert one["validated_at"] <= one["added_at"]
    assert (await add(alice, sid)).errcode == "M_THREEPID_AUTH_FAILED"


async def test_an_attempt_sends_one_mail(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    first = await request(hs, "/account/3pid")
    assert await request(hs, "/account/3pid") == first
    assert len(site.mails) == 1
    assert await request(hs, "/account/3pid", attempt=2) == first
    assert len(site.mails) == 2
    assert (await hs.ask("POST", site.link(0))).status == 403
    assert (await hs.ask("POST", site.link(1))).status == 200


async def test_one_is_sent_on_to_where_the_client_wants(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    await request(hs, "/account/3pid", next_link="https://app.example.org/done")
    response = await hs.ask("POST", site.link())
    assert (response.status, response.headers["location"]) == (303, "https://app.example.org/done")


async def test_a_made_up_link_confirms_nothing(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    await request(hs, "/account/3pid")
    query = {name: values[0] for name, values in parse_qs(urlsplit(site.link()).query).items()}
    for name in query:
        response = await hs.ask("POST", f"{LINK}?{urlencode({**query, name: 'nonsense'})}")
        assert response.status == 403, name
    assert (await hs.ask("GET", LINK)).status == 400


async def test_an_address_logs_in_and_resets_a_lost_password(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    alice = await with_address(hs, site)
    by_address = {"type": "m.id.thirdparty", "medium": "email", "address": "ALICE@example.org"}
    login = {"type": "m.login.password", "identifier": by_address}
    assert (await hs.ask("POST", "/login", {**login, "password": PASSWORD})).json["user_id"] == alice.user_id
    sid = await request(hs, "/account/password")
    auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": SECRET}}
    body = {"new_password": "a new fine password", "auth": auth}
    assert (await hs.ask("POST", "/account/password", body)).status == 401
    await hs.ask("POST", site.link())
    assert (await hs.ask("POST", "/account/password", body)).json == {}
    assert (await hs.ask("POST", "/login", {**login, "password": "a new fine password"})).status == 200
    assert (await hs.ask("POST", "/account/password", body)).status == 401


async def test_a_check_is_good_for_its_own_purpose_alone(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    await with_address(hs, site)
    bob = await hs.register("bob")
    sid = await request(hs, "/account/3pid", address="bob@example.org")
    await hs.ask("POST", site.link())
    auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": SECRET}}
    response = await bob.ask("POST", "/account/password", {"new_password": "a new fine password", "auth": auth})
    assert response.status == 401


async def test_an_account_may_need_an_address(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site, "registrations_require_3pid: [email]"))
    body: dict[str, Any] = {"username": "alice", "password": PASSWORD}
    response = await hs.ask("POST", "/register", body)
    assert [flow["stages"] for flow in response.json["flows"]] == [["m.login.email.identity"]]
    assert (await hs.ask("POST", "/register", {**body, "auth": {"type": "m.login.dummy"}})).status == 401
    sid = await request(hs, "/register")
    await hs.ask("POST", site.link())
    auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": SECRET}}
    response = await hs.ask("POST", "/register", {**body, "auth": auth})
    assert response.status == 200
    alice = Client(hs, response.json)
    assert [one["address"] for one in (await alice.get("/account/3pid"))["threepids"]] == ["alice@example.org"]
    assert (await hs.ask("POST", "/register/email/requestToken", wish())).errcode == "M_THREEPID_IN_USE"


async def test_an_address_has_one_owner_until_it_is_removed(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    alice = await with_address(hs, site)
    assert (await hs.ask("POST", "/account/3pid/email/requestToken", wish(attempt=5))).errcode == "M_THREEPID_IN_USE"
    gone = {"medium": "email", "address": "Alice@example.org"}
    assert await alice.ok("POST", "/account/3pid/delete", gone) == {"id_server_unbind_result": "no-support"}
    assert (await alice.get("/account/3pid"))["threepids"] == []
    response = await hs.ask("POST", "/account/password/email/requestToken", wish())
    assert (response.status, response.errcode) == (400, "M_THREEPID_NOT_FOUND")


async def test_the_operator_may_hide_who_has_which_address(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site, "request_token_inhibit_3pid_errors: true"))
    await with_address(hs, site)
    before = len(site.mails)
    for path in ("/register", "/account/3pid"):
        await request(hs, path, attempt=5)
    await request(hs, "/account/password", address="nobody@example.org")
    assert len(site.mails) == before


async def test_the_operator_says_which_addresses_there_may_be(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site, "allowed_local_3pids: [{medium: email, pattern: '.*@example\\.org$'}]"))
    await request(hs, "/register")
    response = await hs.ask("POST", "/register/email/requestToken", wish("a@elsewhere.test"))
    assert (response.status, response.errcode) == (403, "M_THREEPID_DENIED")


async def test_a_mail_that_is_not_taken_is_no_attempt(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    site.refuses = True
    assert (await hs.ask("POST", "/account/3pid/email/requestToken", wish())).status == 500
    site.refuses = False
    await request(hs, "/account/3pid")
    assert len(site.mails) == 1


async def test_without_a_mail_server_nothing_is_promised(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    assert (await alice.get("/capabilities"))["capabilities"]["m.3pid_changes"] == {"enabled": False}
    phone = {"client_secret": SECRET, "country": "GB", "phone_number": "07700900001", "send_attempt": 1}
    for path in ("/register", "/account/3pid", "/account/password"):
        response = await hs.ask("POST", f"{path}/email/requestToken", wish())
        assert (response.status, response.errcode) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
        response = await hs.ask("POST", f"{path}/msisdn/requestToken", phone)
        assert (response.status, response.errcode) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
    assert (await alice.get("/account/3pid")) == {"threepids": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "with space"},
        {"client_secret": "x" * 256},
        {"email": "no address"},
        {"email": "a@b\r\nBcc: c@d"},
        {"email": '"quoted"@example.org'},
        {"next_link": "javascript:alert(1)"},
        {"send_attempt": -1},
    ],
)
async def test_a_broken_request_is_refused(start_homeserver: Any, site: MailSite, changes: Any) -> None:
    hs = await start_homeserver(mails(site))
    response = await hs.ask("POST", "/account/3pid/email/requestToken", {**wish(), **changes})
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")
    assert site.mails == []


async def test_addresses_go_with_the_account(start_homeserver: Any, site: MailSite) -> None:
    hs = await start_homeserver(mails(site))
    alice = await with_address(hs, site)
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    await alice.ok("POST", "/account/deactivate", {"auth": auth})
    while hs.rows("SELECT 1 FROM threepids"):
        await hs.core.clock.sleep(0)
