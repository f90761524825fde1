"""What a service hears, and in which form."""

from tests.integration.appservice.listening import Town, bridge_of, bridged_room, is_taken_up, told_all
from tests.support.homeserver import q


async def test_a_service_hears_its_rooms_in_order_and_its_own_events_too(town: Town) -> None:
    service = town.service()
    hs = await town.start()
    await is_taken_up(hs, service)
    bridge, alice = bridge_of(hs, service), await hs.register("alice")
    room = await bridged_room(hs, bridge)
    await alice.join(room)
    for number in range(5):
        await alice.send(room, str(number))
    ghost = await bridge.ghost("_irc_ann")
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=ghost)
    await bridge.send(room, ghost, "from the other side")
    await told_all(hs, service)
    assert service.texts == ["0", "1", "2", "3", "4", "from the other side"]
    assert service.events[0]["type"] == "m.room.create"
    service.check()
