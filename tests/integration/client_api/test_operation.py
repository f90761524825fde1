"""What the operator sees and decides: metrics, who may look at profiles, limits, a database that is away."""

from typing import Any

import pytest

from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from storage.commit import CommitterStopped
from storage.database import CommitUnknown, DatabaseDown
from tests.support.homeserver import Homeserver, q


async def test_requests_are_counted_by_route(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    await alice.get(f"/profile/{q(alice.user_id)}")
    await alice.ask("GET", "/profile/nonsense")
    await hs.ask("GET", "/_matrix/nothing/here")
    sample = hs.core.metrics.registry.get_sample_value
    route = "/_matrix/client/v3/profile/{user_id}"
    for status in ("200", "400"):
        labels = {"method": "GET", "route": route, "status": status}
        assert sample("hearth_http_requests_total", labels) == 1, status
    assert sample("hearth_http_request_seconds_count", {"route": route}) == 2
    unknown = {"method": "GET", "route": "(unknown path)", "status": "404"}
    assert sample("hearth_http_requests_total", unknown) == 1


async def test_profiles_may_be_kept_to_those_who_share_rooms(start_homeserver: Any) -> None:
    hs = await start_homeserver("limit_profile_requests_to_users_who_share_rooms: true")
    alice, bob = await hs.register("alice"), await hs.register("bob")
    path = f"/profile/{q(alice.user_id)}"
    assert (await bob.ask("GET", path)).errcode == "M_FORBIDDEN"
    assert (await hs.ask("GET", path)).errcode == "M_MISSING_TOKEN"
    assert (await alice.ask("GET", path)).status == 200
    room = await alice.create_room()
    await bob.join(room)
    assert (await bob.ask("GET", f"{path}/displayname")).json == {"displayname": "alice"}


async def test_presence_has_a_limit(start_homeserver: Any) -> None:
    hs = await start_homeserver("rc_presence: {per_user: {per_second: 0.01, burst_count: 1}}")
    alice = await hs.register("alice")
    path = f"/presence/{q(alice.user_id)}/status"
    assert (await alice.ask("PUT", path, {"presence": "online"})).status == 200
    assert (await alice.ask("PUT", path, {"presence": "offline"})).errcode == "M_LIMIT_EXCEEDED"
    # A sync goes on, whatever it says of its user.
    for _ in range(2):
        assert (await alice.ask("GET", "/sync", set_presence="unavailable")).status == 200


@pytest.mark.parametrize("error", [DatabaseDown, CommitUnknown, CommitterStopped])
async def test_while_the_database_is_away_clients_are_asked_to_come_again(hs: Homeserver, error: Any) -> None:
    class Api:
        @route("GET", "/broken", access=Access.PUBLIC)
        async def broken(self, call: Call) -> Answer:
            raise error("gone")

    hs.server.router.add(Api())
    response = await hs.http.request("GET", "/broken")
    assert (response.status, response.headers["retry-after"]) == (503, "5")
    assert response.json == {"errcode": "M_UNKNOWN", "error": "The database is not available"}
