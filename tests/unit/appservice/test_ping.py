"""What becomes of each way in which a ping can fail."""

import re
from typing import Any

import pytest

from appservice.errors import AppserviceError, BadAnswer, Refused, TimedOut, Unreachable
from appservice.registration import Namespace, Registration
from appservice.registry import Registry
from homeserver.services.appservices.ping import Ping
from homeserver.web.call import Requester
from matrix.errors import MatrixError
from matrix.ids import UserId

IRC = Registration(
    id="irc",
    url="http://localhost",
    as_token="as",
    hs_token="hs",
    sender=UserId("@irc:a"),
    users=(Namespace(re.compile("@irc_"), exclusive=True),),
)
REQUESTER = Requester(UserId("@irc:a"), appservice_id="irc")


class Client:
    def __init__(self, error: AppserviceError | None = None) -> None:
        self._error = error

    async def ping(self, service: object, transaction_id: str | None) -> int:
        if self._error is not None:
            raise self._error
        return 7


def ping(client: Client, answered: list[str]) -> Ping:
    wired: Any = client
    return Ping(registry=Registry([IRC]), client=wired, on_answer=answered.append)


@pytest.mark.parametrize(
    ("error", "status", "errcode"),
    [
        (Refused(500, "oh"), 502, "M_BAD_STATUS"),
        (Unreachable("no"), 502, "M_CONNECTION_FAILED"),
        (BadAnswer("no"), 502, "M_CONNECTION_FAILED"),
        (TimedOut("late"), 504, "M_CONNECTION_TIMEOUT"),
    ],
)
async def test_a_failure_says_what_failed_and_wakes_nobody(error: AppserviceError, status: int, errcode: str) -> None:
    answered: list[str] = []
    with pytest.raises(MatrixError) as caught:
        await ping(Client(error), answered).ping(REQUESTER, "irc", None)
    assert (caught.value.status, caught.value.errcode, answered) == (status, errcode, [])


async def test_an_answer_wakes_the_services_queue() -> None:
    answered: list[str] = []
    assert await ping(Client(), answered).ping(REQUESTER, "irc", None) == 7
    assert answered == ["irc"]
