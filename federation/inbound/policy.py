"""Other servers ask this one, as a policy server, to sign events of rooms.

Source: server-server API, POST /_matrix/policy/v1/sign; MSC4284.
"""

from federation.inbound.routes import ServerApi, origin_of, server_route
from homeserver.runtime.turns import Turns
from homeserver.services.policy_server import PolicyServer
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from matrix.canonical_json import MAX_BODY_DEPTH


class PolicySignApi(ServerApi):
    def __init__(self, *, turns: Turns, policy_server: PolicyServer) -> None:
        super().__init__(turns=turns)
        self._policy_server = policy_server

    @server_route("POST", "/_matrix/policy/v1/sign", "/_matrix/policy/unstable/org.matrix.msc4284/sign")
    async def sign(self, call: Call) -> Answer:
        return await self._policy_server.answer(origin_of(call), dict(call.json(max_depth=MAX_BODY_DEPTH).raw))
