"""One server that asks too much is slowed down and refused; the others do not notice.

Source: Synapse's rc_federation.
"""

from twisted.internet.defer import Deferred, gatherResults

from tests.integration.federation.visiting import V1
from tests.support.fake_server import FakeServer
from tests.support.federation import Network

LIMITS = "rc_federation: {window_size: 1000, sleep_limit: 1, sleep_delay: 5, reject_limit: 2, concurrent: 1}"
PATH = f"{V1}/query/profile?user_id=%40nobody%3Abusy.test"


async def test_who_asks_too_much_is_refused_and_nobody_else(shared_network: Network, two: FakeServer) -> None:
    await shared_network.start("busy.test", LIMITS)
    other = FakeServer(shared_network, "other.test")
    for server in (two, other):
        assert (await server.ask("busy.test", "GET", PATH)).status == 404
    answers = [Deferred.fromCoroutine(two.ask("busy.test", "GET", PATH)) for _ in range(20)]
    answers.append(Deferred.fromCoroutine(other.ask("busy.test", "GET", PATH)))
    *of_two, of_other = await gatherResults(answers)
    refused = [response for response in of_two if response.status == 429]
    assert refused
    assert {response.errcode for response in refused} == {"M_LIMIT_EXCEEDED"}
    assert "retry-after" in refused[0].headers
    assert any(response.status == 404 for response in of_two)
    assert of_other.status == 404
