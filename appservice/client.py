"""What a homeserver asks of an application service: one method for each question.

Every method raises AppserviceError, by kind: Refused (with status and body), Unreachable, TimedOut, BadAnswer. A
service without a URL is Unreachable.

Source: application service API, "Homeserver -> Application Service API"; MSC3983, MSC3984.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from appservice.asking import Asking, Question, Service, query_of, unstable, unversioned, versioned
from appservice.errors import BadAnswer, Refused
from homeserver.runtime.clock import Clock
from homeserver.web.agent import Bounds, OutgoingHttp

Json = dict[str, Any]
Kind = Literal["user", "location"]

# A bridge may make a room and join a channel before it answers. Synapse waits as long.
_TRANSACTION = Bounds(timeout_s=60.0, max_bytes=1 << 20)
_QUERY = Bounds(timeout_s=60.0, max_bytes=64 << 10)
_PING = Bounds(timeout_s=30.0, max_bytes=64 << 10)
# People wait for these, with the answers of other services at hand.
_LOOK_UP = Bounds(timeout_s=10.0, max_bytes=4 << 20)
_KEYS = Bounds(timeout_s=10.0, max_bytes=4 << 20)

_UNSTABLE = "/_matrix/app/unstable"
_CLAIM = f"{_UNSTABLE}/org.matrix.msc3983/keys/claim"
_QUERY_KEYS = f"{_UNSTABLE}/org.matrix.msc3984/keys/query"


class AppserviceClient:
    """Asks services over HTTP. `sends_query_token`: the operator's use_appservice_legacy_authorization."""

    def __init__(self, *, http: OutgoingHttp, clock: Clock, sends_query_token: bool = False) -> None:
        self._asking = Asking(http=http, clock=clock, sends_query_token=sends_query_token)
        self._clock = clock

    async def send_transaction(self, service: Service, txn_id: str, body: bytes) -> None:
        """Tells a service what happened; it has taken all of it when this comes back. May be repeated."""
        question = Question(
            method="PUT",
            path=versioned("transactions", txn_id),
            legacy_path=unversioned("transactions", txn_id),
            body=body,
            bounds=_TRANSACTION,
            takes_turns=False,
        )
        await self._asking.ask(service, question)

    async def ping(self, service: Service, transaction_id: str | None) -> int:
        """How many milliseconds the service took to answer."""
        told = {} if transaction_id is None else {"transaction_id": transaction_id}
        question = Question(
            method="POST", path=versioned("ping"), body=orjson.dumps(told), bounds=_PING, takes_turns=False
        )
        began = self._clock.seconds()
        await self._asking.ask(service, question)
        return int((self._clock.seconds() - began) * 1000)

    async def query_user(self, service: Service, user_id: str) -> bool:
        """Is there such a user? If so, the service has registered it before it answered."""
        return await self._exists(service, "users", user_id)

    async def query_alias(self, service: Service, alias: str) -> bool:
        """Is there such a room? If so, the service has made it, with the alias, before it answered."""
        return await self._exists(service, "rooms", alias)

    async def _exists(self, service: Service, kind: str, what: str) -> bool:
        question = Question(
            method="GET", path=versioned(kind, what), legacy_path=unversioned(kind, what), bounds=_QUERY
        )
        try:
            await self._asking.ask(service, question)
        except Refused as error:
            if error.status != 404:
                raise
            return False
        return True

    async def third_party_protocol(self, service: Service, protocol: str) -> Json:
        """What the service tells of a network. Not checked but for being an object."""
        return _object(await self._look_up(service, ("protocol", protocol), {}))

    async def find_third_parties(
        self, service: Service, kind: Kind, protocol: str, fields: Mapping[str, Sequence[str]]
    ) -> list[Any]:
        """Users or locations of a network, by fields. Each is as the service told it, unchecked."""
        return await self._find(service, (kind, protocol), fields)

    async def locations_of_alias(self, service: Service, alias: str) -> list[Any]:
        """Places of networks that a room alias stands for, unchecked."""
        return await self._find(service, ("location",), {"alias": [alias]})

    async def third_parties_of_user(self, service: Service, user_id: str) -> list[Any]:
        """People of networks that a Matrix user stands for, unchecked."""
        return await self._find(service, ("user",), {"userid": [user_id]})

    async def _find(self, service: Service, what: tuple[str, ...], fields: Mapping[str, Sequence[str]]) -> list[Any]:
        try:
            found = await self._look_up(service, what, fields)
        except Refused as error:
            if error.status != 404:
                raise
            return []
        if not isinstance(found, list):
            raise BadAnswer("the answer is no list")
        return found

    async def _look_up(self, service: Service, what: tuple[str, ...], fields: Mapping[str, Sequence[str]]) -> Any:
        question = Question(
            method="GET",
            path=versioned("thirdparty", *what),
            legacy_path=unstable("thirdparty", *what),
            query=query_of(fields),
            bounds=_LOOK_UP,
        )
        return await self._asking.ask_json(service, question)

    async def claim_keys(self, service: Service, wanted: Mapping[str, Mapping[str, Sequence[str]]]) -> Json | None:
        """One-time keys by user, device and key id, unchecked. `wanted`: algorithms, one a key, by user and device.

        None of a service that hands out no keys itself.
        """
        return await self._keys(service, _CLAIM, wanted)

    async def query_keys(self, service: Service, wanted: Mapping[str, Sequence[str]]) -> Json | None:
        """Keys of users as /keys/query has them (`device_keys`, `master_keys`, ...), unchecked.

        `wanted`: devices (none: all) by user. None of a service that knows no keys itself.
        """
        return await self._keys(service, _QUERY_KEYS, wanted)

    async def _keys(self, service: Service, path: str, wanted: Mapping[str, Any]) -> Json | None:
        question = Question(method="POST", path=path, body=orjson.dumps(wanted), bounds=_KEYS, has_query_token=False)
        answer = await self._asking.ask_if_known(service, question)
        return None if answer is None else _object(answer)


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise BadAnswer("the answer is no object")
    return value
