"""What a client does not load before it needs it: members, history around an event, the tree of a space, a search."""

import pytest
from attrs import frozen

from tests.interop.clients import Kind, RealClient
from tests.interop.conftest import NewClient, NewUser

pytestmark = pytest.mark.interop

# The initial sync of a lazy client: one event, and no members but those who sent it.
LAZY = {"lazyLoadMembers": True, "initialSyncLimit": 1}


@frozen
class Hall:
    """A named room of Alice, who talks with matrix-js-sdk, and Bob, who listens with matrix-nio."""

    alice: RealClient
    bob: RealClient
    room_id: str

    def says(self, body: str) -> str:
        content = {"msgtype": "m.text", "body": body}
        event_id: str = self.alice.do("send", room_id=self.room_id, content=content)["event_id"]
        return event_id


@pytest.fixture(scope="module")
def hall(js: Kind, nio: Kind, new_user: NewUser) -> Hall:
    alice, bob = new_user(js), new_user(nio)
    alice.do("start")
    bob.do("start")
    return open_hall(alice, bob)


def open_hall(alice: RealClient, bob: RealClient, **more: object) -> Hall:
    room_id = create(alice, preset="private_chat", name="The Hall", invite=[bob.user_id], **more)
    bob.do("join", room_id=room_id)
    alice.do("await_member", room_id=room_id, user_id=bob.user_id)
    return Hall(alice, bob, room_id)


def create(client: RealClient, **wish: object) -> str:
    room_id: str = client.do("call", name="createRoom", args=[wish])["room_id"]
    return room_id


@pytest.fixture
def lazy_device(hall: Hall, js: Kind, new_client: NewClient) -> RealClient:
    """Another device of Alice's, signed in and not yet syncing."""
    device = new_client(js)
    device.sign_in(hall.alice.user_id)
    return device


def membership_of(hall: Hall) -> dict[str, object]:
    """Of Bob, as a client of Alice's has it."""
    return {"room_id": hall.room_id, "path": ["getMember", [hall.bob.user_id], "membership"]}


def test_a_lazy_client_meets_a_member_when_he_speaks(hall: Hall, lazy_device: RealClient) -> None:
    hall.says("is anybody here?")
    lazy_device.do("start", encryption=False, **LAZY)
    lazy_device.do("await_room", room_id=hall.room_id, path=["getMember", [hall.bob.user_id]], value=None)
    hall.bob.do("send", room_id=hall.room_id, content={"msgtype": "m.text", "body": "I am"})
    lazy_device.do("await_room", **membership_of(hall), value="join")


def test_a_lazy_client_encrypts_for_members_it_has_never_met(hall: Hall, lazy_device: RealClient) -> None:
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    vault = open_hall(hall.alice, hall.bob, initial_state=[encryption])
    vault.says("the last word")
    lazy_device.do("start", **LAZY)
    lazy_device.do("await_room", room_id=vault.room_id, path=["getMember", [vault.bob.user_id]], value=None)
    content = {"msgtype": "m.text", "body": "for whoever is here"}
    event_id = lazy_device.do("send", room_id=vault.room_id, content=content)["event_id"]
    read = vault.bob.do("await_event", room_id=vault.room_id, event_id=event_id)
    assert read["encrypted"]
    assert read["content"]["body"] == "for whoever is here"


def test_members_are_listed_by_their_membership(hall: Hall, js: Kind, new_user: NewUser) -> None:
    guest = new_user(js)
    hall.alice.do("call", name="invite", args=[hall.room_id, guest.user_id])
    assert members(hall, "invite", None) == {guest.user_id}
    assert members(hall, "join", None) == {hall.alice.user_id, hall.bob.user_id}
    assert members(hall, None, "join") == {guest.user_id}


def members(hall: Hall, membership: str | None, not_membership: str | None) -> set[str]:
    args = [hall.room_id, membership, not_membership]
    return {event["state_key"] for event in hall.alice.do("call", name="members", args=args)["chunk"]}


def test_a_link_leads_to_the_middle_of_a_room(hall: Hall, lazy_device: RealClient) -> None:
    said = [hall.says(f"step {number}") for number in range(30)]
    lazy_device.do("start", encryption=False, **LAZY)
    around = lazy_device.do("around", room_id=hall.room_id, event_id=said[15], limit=4)
    own = [event_id for event_id in around if event_id in said]
    assert said[15] in own
    assert own == said[said.index(own[0]) : said.index(own[-1]) + 1]
    assert said.index(own[0]) <= 11
    assert said.index(own[-1]) >= 19


def test_the_tree_of_a_space_is_walked_by_pages(hall: Hall) -> None:
    space = create(hall.alice, name="The House", creation_content={"type": "m.space"})
    attic, cellar = create(hall.alice, name="The Attic"), create(hall.alice, name="The Cellar")
    via = {"via": [hall.alice.user_id.split(":", 1)[1]]}
    for child, order in ((cellar, "b"), (attic, "a")):
        args = [space, "m.space.child", {**via, "order": order}, child]
        hall.alice.do("call", name="sendStateEvent", args=args)
    rooms, token = [], None
    while True:
        page = hall.alice.do("call", name="getRoomHierarchy", args=[space, 1, 1, False, *([token] if token else [])])
        rooms += page["rooms"]
        token = page.get("next_batch")
        if token is None:
            break
    assert [room["name"] for room in rooms] == ["The House", "The Attic", "The Cellar"]
    assert [child["state_key"] for child in rooms[0]["children_state"]] == [attic, cellar]


def test_a_word_is_found_in_what_was_said(hall: Hall) -> None:
    event_id = hall.says("the marzipan is in the cupboard")
    hall.says("the coffee is not")
    found = hall.alice.do("call", name="searchMessageText", args=[{"query": "marzipan"}])
    results = found["search_categories"]["room_events"]["results"]
    assert [one["result"]["event_id"] for one in results] == [event_id]
