"""One server that asks too much is slowed down and refused; the others do not notice.

Source: Synapse's rc_federation.
"""

import pytest
from twisted.internet.defer import Deferred, gatherResults

from tests.integration.federation.visiting import V1
from tests.support.fake_server import FakeServer
from tests.support.federation import Network

LIMITS = "rc_federation: {window_size: 1000, sleep_limit: 1, sleep_delay: 5, reject_limit: 2, concurrent: 1}"


@pytest.mark.parametrize(
    ("path", "status"),
    [(f"{V1}/query/profile?user_id=%40nobody%3Abusy.test", 404), (f"{V1}/user/devices/%40nobody%3Abusy.test", 200)],
)
async def test_who_asks_too_much_is_refused_and_nobody_else(network: Network, path: str, status: int) -> None:
    await network.start("busy.test", LIMITS)
    two, other = FakeServer(network, "two.test"), FakeServer(network, "other.test")
    for server in (two, other):
        assert (await server.ask("busy.test", "GET", path)).status == status
    answers = [Deferred.fromCoroutine(two.ask("busy.test", "GET", path)) for _ in range(20)]
    answers.append(Deferred.fromCoroutine(other.ask("busy.test", "GET", path)))
    *of_two, of_other = await gatherResults(answers)
    refused = [response for response in of_two if response.status == 429]
    assert refused
    assert {response.errcode for response in refused} == {"M_LIMIT_EXCEEDED"}
    assert "retry-after" in refused[0].headers
    assert any(response.status == status for response in of_two)
    assert of_other.status == status
