"""The page that makes the first account."""

from typing import cast
from urllib.parse import urlencode

import pytest
from twisted.internet.defer import Deferred

from homeserver.setup_page.page import FormFault, SetupPage, read_form
from homeserver.web.call import Call, Headers, Peer
from homeserver.web.replies import Answer, Reply
from matrix.errors import Forbidden
from matrix.ids import ServerName, UserId

SERVER = ServerName("example.org")
GOOD = {"token": "t0ken", "localpart": "anna", "password": "correct horse", "password_again": "correct horse"}


class OneAccount:
    """The service behind the page, which accepts one token, once."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    async def is_open(self, token: str) -> bool:
        return token == "t0ken" and not self.made

    async def create(self, token: str, localpart: str, password: str) -> UserId:
        if token != "t0ken" or self.made:
            raise Forbidden("This link has been used or is too old.")
        self.made.append((localpart, password))
        return UserId(f"@{localpart}:{SERVER}")


class World:
    def __init__(self) -> None:
        self.accounts = OneAccount()
        self.page = SetupPage(first_user=self.accounts, server_name=SERVER, base_url="http://localhost:8008/")

    def get(self, query: str = "") -> Reply:
        return self._run(self.page.show_form(self._call("GET", query)))

    def post(self, body: bytes, headers: dict[bytes, list[bytes]] | None = None) -> Reply:
        call = self._call("POST", "", headers)
        call.take_body(body)
        return self._run(self.page.submit(call))

    @staticmethod
    def _call(method: str, query: str, headers: dict[bytes, list[bytes]] | None = None) -> Call:
        return Call(method, b"/_hearth/setup" + query.encode(), Headers(headers or {}), Peer("127.0.0.1"), 0)

    @staticmethod
    def _run(answering: object) -> Reply:
        answers: list[Answer] = []
        Deferred.fromCoroutine(answering).addCallback(answers.append)  # type: ignore[arg-type]
        return cast(Reply, answers[0])


@pytest.fixture
def world() -> World:
    return World()


def text(reply: Reply) -> str:
    return cast(str, reply.body)


def test_the_link_shows_the_form_with_its_token(world: World) -> None:
    reply = world.get("?token=t0ken")
    assert reply.status == 200
    assert 'value="t0ken"' in text(reply)


def test_without_a_token_there_is_no_form(world: World) -> None:
    reply = world.get()
    assert reply.status == 403
    assert "<form" not in text(reply)


def test_what_comes_from_outside_is_escaped(world: World) -> None:
    reply = world.post(urlencode(GOOD | {"token": '"><script>', "localpart": '"><script>'}).encode())
    assert "&gt;&lt;script&gt;" in text(reply)
    assert "<script>" not in text(reply)


def test_the_page_may_not_be_framed_scripted_or_kept(world: World) -> None:
    headers = world.get("?token=t0ken").headers
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_a_filled_in_form_makes_the_account_and_says_how_to_connect(world: World) -> None:
    reply = world.post(urlencode(GOOD).encode())
    assert reply.status == 200
    assert world.accounts.made == [("anna", "correct horse")]
    assert "@anna:example.org" in text(reply)
    assert "<code>http://localhost:8008</code>" in text(reply)


def test_without_a_public_url_it_names_the_one_that_the_form_was_sent_to(world: World) -> None:
    world.page = SetupPage(first_user=world.accounts, server_name=SERVER)
    reply = world.post(urlencode(GOOD).encode(), {b"host": [b"192.0.2.7:8008"]})
    assert "<code>http://192.0.2.7:8008</code>" in text(reply)


def test_a_used_link_says_so(world: World) -> None:
    world.post(urlencode(GOOD).encode())
    reply = world.post(urlencode(GOOD).encode())
    assert reply.status == 403
    assert "has been used" in text(reply)


def test_a_used_link_shows_no_form(world: World) -> None:
    world.post(urlencode(GOOD).encode())
    reply = world.get("?token=t0ken")
    assert reply.status == 403
    assert "has been used" in text(reply)
    assert "<form" not in text(reply)


def test_a_wrong_token_makes_nothing(world: World) -> None:
    assert world.post(urlencode(GOOD | {"token": "guess"}).encode()).status == 403
    assert world.accounts.made == []


def test_a_fault_keeps_the_name_but_never_the_password(world: World) -> None:
    reply = world.post(urlencode(GOOD | {"password_again": "something else"}).encode())
    assert reply.status == 400
    assert "The two passwords differ" in text(reply)
    assert 'value="anna"' in text(reply)
    assert "correct horse" not in text(reply)


def test_a_form_sent_from_another_site_is_refused(world: World) -> None:
    reply = world.post(urlencode(GOOD).encode(), {b"sec-fetch-site": [b"cross-site"]})
    assert reply.status == 403
    assert world.accounts.made == []


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"a=%ff", b"&".join(b"x=1" for _ in range(50)), b'{"token": 1}'])
def test_a_body_that_is_no_form_is_a_fault_of_the_sender(world: World, body: bytes) -> None:
    assert world.post(body).status == 400


def test_a_whole_user_id_is_taken_for_its_name() -> None:
    assert read_form(GOOD | {"localpart": " @Anna:example.org "}, SERVER).localpart == "anna"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"localpart": ""}, "user name"),
        ({"localpart": "anna berta"}, "user name"),
        ({"localpart": "@anna:elsewhere.org"}, "user name"),
        ({"password": "short", "password_again": "short"}, "at least 8"),
        ({"password": "x" * 600, "password_again": "x" * 600}, "at most 512"),
    ],
)
def test_a_form_filled_in_badly_is_explained(changes: dict[str, str], said: str) -> None:
    with pytest.raises(FormFault, match=said):
        read_form(GOOD | changes, SERVER)
