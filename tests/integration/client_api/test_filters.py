"""Filters."""

from matrix.ids import UserId
from tests.integration.client_api.accounts_server import Server, server

__all__ = ["server"]


async def test_a_filter_is_got_by_its_id(server: Server) -> None:
    alice = await server.register()
    content = {"room": {"timeline": {"limit": 10}, "state": {"lazy_load_members": True}}}
    made = await alice.ask("POST", f"/user/{alice.user_id}/filter", content)
    again = await alice.ask("POST", f"/user/{alice.user_id}/filter", content)
    filter_id = made.json["filter_id"]
    assert again.json["filter_id"] == filter_id
    assert not filter_id.startswith("{")
    assert (await alice.get(f"/user/{alice.user_id}/filter/{filter_id}")).json == content
    parsed = await server.filters.parsed(UserId(alice.user_id), filter_id)
    assert parsed.lazy_load_members


async def test_filters_are_their_owners(server: Server) -> None:
    alice, bob = await server.register(), await server.register("bob")
    filter_id = (await alice.ask("POST", f"/user/{alice.user_id}/filter", {})).json["filter_id"]
    assert (await bob.get(f"/user/{alice.user_id}/filter/{filter_id}")).errcode == "M_FORBIDDEN"
    assert (await bob.get(f"/user/{bob.user_id}/filter/{filter_id}")).errcode == "M_NOT_FOUND"


async def test_there_is_no_filter_by_a_strange_id(server: Server) -> None:
    alice = await server.register()
    for filter_id in ("0", "-1", "x", "9" * 30, "%D9%A1"):
        assert (await alice.get(f"/user/{alice.user_id}/filter/{filter_id}")).errcode == "M_NOT_FOUND", filter_id


async def test_what_is_no_filter_is_refused(server: Server) -> None:
    alice = await server.register()
    for content in ([], {"room": []}, {"room": {"timeline": {"limit": "ten"}}}, {"event_fields": [1]}):
        assert (await alice.ask("POST", f"/user/{alice.user_id}/filter", content)).status == 400, content
