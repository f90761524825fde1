"""An invite of another server rings the phone."""

from tests.integration.client_api.test_push_delivery import OPEN, Gateway, gateway, subscribe
from tests.integration.federation.handmade_room import HandmadeRoom
from tests.support.fake_server import FakeServer
from tests.support.federation import Network

__all__ = ["gateway"]


async def test_an_invite_of_another_server_is_pushed(network: Network, gateway: Gateway) -> None:
    hs = await network.start("one.test", OPEN + "\n")
    bob = await hs.register("bob")
    await subscribe(bob, gateway)
    room = HandmadeRoom(FakeServer(network, "two.test"))
    invite = room.invite(bob.user_id)
    assert (await room.send_invite("one.test", invite)).status == 200
    (told,) = await gateway.has_got(1)
    assert (told["event_id"], told["room_id"]) == (room.id_of(invite), room.room)
    assert (told["sender"], told["user_is_target"], told["membership"]) == (room.creator, True, "invite")
