"""Daily life without encryption, with two clients that nobody here wrote: what one does, the other sees."""

import base64
import io

import pytest
from attrs import frozen
from PIL import Image

from tests.interop.clients import PASSWORD, Kind, RealClient, Refused
from tests.interop.conftest import NewClient, NewUser

pytestmark = pytest.mark.interop


@frozen
class Company:
    """Alice with matrix-js-sdk, and Bob with matrix-nio, in one room."""

    alice: RealClient
    bob: RealClient
    room_id: str

    def alice_says(self, body: str, **more: object) -> str:
        """The event's id, once Bob has read it."""
        return said(self.alice, self.bob, self.room_id, body, **more)

    def bob_says(self, body: str, **more: object) -> str:
        return said(self.bob, self.alice, self.room_id, body, **more)


def said(speaker: RealClient, listener: RealClient, room_id: str, body: str, **more: object) -> str:
    content = {"msgtype": "m.text", "body": body, **more}
    event_id: str = speaker.do("send", room_id=room_id, content=content)["event_id"]
    assert listener.do("await_event", room_id=room_id, event_id=event_id)["content"] == content
    return event_id


@pytest.fixture(scope="module")
def company(js: Kind, nio: Kind, new_user: NewUser) -> Company:
    alice, bob = new_user(js), new_user(nio)
    alice.do("start", encryption=False)
    bob.do("start")
    room_id = alice.do("create_room", invite=[bob.user_id])["room_id"]
    bob.do("join", room_id=room_id)
    alice.do("await_member", room_id=room_id, user_id=bob.user_id)
    bob.do("await_member", room_id=room_id, user_id=alice.user_id)
    return Company(alice, bob, room_id)


@pytest.fixture(scope="module")
def second_device(company: Company, js: Kind, new_client: NewClient) -> RealClient:
    """Another device of Alice."""
    device = new_client(js)
    device.sign_in(company.alice.user_id)
    device.do("start", encryption=False)
    return device


def picture(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def size_of(image: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(image))) as opened:
        return opened.size


def test_each_knows_who_it_is(company: Company) -> None:
    assert company.alice.do("call", name="whoami", args=[])["user_id"] == company.alice.user_id
    assert company.bob.do("call", name="whoami", args={})["device_id"] == company.bob.device_id


def test_a_wrong_password_is_refused(company: Company, new_client: NewClient) -> None:
    for client in (company.alice, company.bob):
        with pytest.raises(Refused) as refused:
            new_client(client.kind).do("login", user=client.user_id, password="wrong")
        assert refused.value.errcode == "M_FORBIDDEN"


def test_each_lists_its_rooms(company: Company) -> None:
    assert company.room_id in company.alice.do("call", name="getJoinedRooms", args=[])["joined_rooms"]
    assert company.room_id in company.bob.do("call", name="joined_rooms", args={})["rooms"]


def test_a_published_room_is_in_the_directory_under_its_alias(company: Company) -> None:
    wish = {"visibility": "public", "name": "The Square", "room_alias_name": "square"}
    room_id = company.alice.do("call", name="createRoom", args=[wish])["room_id"]
    listed = company.bob.do("call", name="list_public_rooms", args={})["public_rooms"]
    assert [room["name"] for room in listed if room["room_id"] == room_id] == ["The Square"]
    alias = "#square:" + company.alice.user_id.split(":", 1)[1]
    assert company.bob.do("call", name="room_resolve_alias", args={"room_alias": alias})["room_id"] == room_id


def test_a_filter_kept_on_the_server_lets_only_its_types_through(
    company: Company, nio: Kind, new_client: NewClient
) -> None:
    device = new_client(nio)
    device.sign_in(company.bob.user_id)
    device.do("start", sync_filter={"room": {"timeline": {"types": ["m.room.topic"]}}})
    message = company.alice_says("not for the filter")
    topic = company.alice.do("call", name="setRoomTopic", args=[company.room_id, "For the filter"])["event_id"]
    assert device.do("await_event", room_id=company.room_id, event_id=topic)["content"]["topic"] == "For the filter"
    assert not device.do("has_event", event_id=message)


def test_history_is_paged_back_to_the_creation(company: Company) -> None:
    room_id = company.alice.do("create_room", invite=[company.bob.user_id])["room_id"]
    company.bob.do("join", room_id=room_id)
    bodies = [f"page {number}" for number in range(25)]
    for body in bodies:
        said(company.alice, company.bob, room_id, body)
    for client in (company.alice, company.bob):
        history = client.do("history", room_id=room_id, limit=10)
        assert history["events"][0]["type"] == "m.room.create"
        assert [event["content"]["body"] for event in history["events"] if "body" in event["content"]] == bodies
    assert history["pages"] >= 3


def test_typing_is_seen(company: Company) -> None:
    company.alice.do("call", name="sendTyping", args=[company.room_id, True, 30_000])
    company.bob.do("await_room", room_id=company.room_id, field="typing_users", value=[company.alice.user_id])
    company.alice.do("call", name="sendTyping", args=[company.room_id, False, 0])
    company.bob.do("await_room", room_id=company.room_id, field="typing_users", value=[])
    company.bob.do("call", name="room_typing", args={"room_id": company.room_id, "typing_state": True})
    path = ["getMember", [company.bob.user_id], "typing"]
    company.alice.do("await_room", room_id=company.room_id, path=path, value=True)
    company.bob.do("call", name="room_typing", args={"room_id": company.room_id, "typing_state": False})
    company.alice.do("await_room", room_id=company.room_id, path=path, value=False)


def test_receipts_are_seen_and_end_the_unread_count(company: Company, second_device: RealClient) -> None:
    event_id = company.bob_says("have you read this?")
    unread = ["getUnreadNotificationCount", ["total"]]
    company.alice.do("read", room_id=company.room_id, event_id=event_id)
    company.bob.do("await_receipt", room_id=company.room_id, user_id=company.alice.user_id, event_id=event_id)
    second_device.do("await_room", room_id=company.room_id, path=unread, value=0)
    company.bob_says("and this?")
    second_device.do("await_room", room_id=company.room_id, path=unread, value=1)


def test_a_receipt_of_nio_is_seen(company: Company) -> None:
    event_id = company.alice_says("and you?")
    receipt = {"room_id": company.room_id, "event_id": event_id}
    company.bob.do("call", name="update_receipt_marker", args=receipt)
    path = ["getEventReadUpTo", [company.bob.user_id]]
    company.alice.do("await_room", room_id=company.room_id, path=path, value=event_id)


def test_presence_is_seen(company: Company, nio: Kind, new_user: NewUser) -> None:
    # Not of Bob, who is online on other devices too.
    carol = new_user(nio)
    carol.do("start")
    room_id = carol.do("create_room", invite=[company.alice.user_id])["room_id"]
    company.alice.do("join", room_id=room_id)
    carol.do("call", name="set_presence", args={"presence": "unavailable", "status_msg": "at tea"})
    company.alice.do("await_presence", user_id=carol.user_id, presence="unavailable", status="at tea")
    company.alice.do("call", name="setPresence", args=[{"presence": "online", "status_msg": "at work"}])
    presence = carol.do("call", name="get_presence", args={"user_id": company.alice.user_id})
    assert (presence["presence"], presence["status_msg"]) == ("online", "at work")


def test_names_and_pictures_are_seen(company: Company) -> None:
    company.alice.do("call", name="setDisplayName", args=["Alice in Wonderland"])
    name = {"user_id": company.alice.user_id, "name": "Alice in Wonderland"}
    company.bob.do("await_name", room_id=company.room_id, **name)
    profile = company.bob.do("call", name="get_profile", args={"user_id": company.alice.user_id})
    assert profile["displayname"] == "Alice in Wonderland"
    avatar = company.bob.do("upload", base64=picture(8, 8), type="image/png", name="me.png")["content_uri"]
    company.bob.do("call", name="set_avatar", args={"avatar_url": avatar})
    path = ["getMember", [company.bob.user_id], "getMxcAvatarUrl", []]
    company.alice.do("await_room", room_id=company.room_id, path=path, value=avatar)
    assert company.alice.do("call", name="getProfileInfo", args=[company.bob.user_id])["avatar_url"] == avatar


def test_media_of_js_is_there_for_nio(company: Company) -> None:
    image = picture(640, 480)
    url = company.alice.do("upload", base64=image, type="image/png", name="cat.png")["content_uri"]
    found = company.bob.do("download", url=url)
    assert found == {"base64": image, "type": "image/png", "filename": "cat.png"}
    thumbnail = company.bob.do("thumbnail", url=url, width=96, height=96)
    assert thumbnail["type"] in ("image/png", "image/jpeg")
    assert max(size_of(thumbnail["base64"])) < 640


def test_media_of_nio_is_there_for_js(company: Company) -> None:
    image = picture(640, 480)
    url = company.bob.do("upload", base64=image, type="image/png", name="dog.png")["content_uri"]
    assert company.alice.do("download", url=url) == {"base64": image, "type": "image/png"}
    thumbnail = company.alice.do("download", url=url, width=32, height=32, cut="crop")
    assert size_of(thumbnail["base64"]) == (32, 32)


def test_a_push_rule_of_nio_highlights_its_word(company: Company) -> None:
    company.bob.do("highlight_word", word="marmalade")
    assert company.bob.do("push_rule", kind="content", rule_id="marmalade")["pattern"] == "marmalade"
    company.alice_says("there is Marmalade for tea")
    company.bob.do("await_room", room_id=company.room_id, field="unread_highlights", value=1)
    company.bob.do("forget_word", word="marmalade")
    with pytest.raises(Refused, match="M_NOT_FOUND"):
        company.bob.do("push_rule", kind="content", rule_id="marmalade")


def test_js_adds_disables_and_deletes_a_push_rule(company: Company) -> None:
    rule = ["global", "content", "toast"]
    company.alice.do("call", name="addPushRule", args=[*rule, {"pattern": "toast", "actions": ["notify"]}])
    company.alice.do("call", name="setPushRuleEnabled", args=[*rule, False])
    rules = company.alice.do("call", name="getPushRules", args=[])["global"]["content"]
    assert [(one["pattern"], one["enabled"]) for one in rules if one["rule_id"] == "toast"] == [("toast", False)]
    company.alice.do("call", name="deletePushRule", args=rule)
    assert "toast" not in str(company.alice.do("call", name="getPushRules", args=[])["global"]["content"])


def test_account_data_reaches_the_users_other_device(company: Company, second_device: RealClient) -> None:
    content = {"theme": "dark", "recent": ["☕", "👍"]}
    company.alice.do("call", name="setAccountData", args=["org.example.settings", content])
    second_device.do("await_account_data", type="org.example.settings", content=content)


def test_tags_reach_the_users_other_device(company: Company, second_device: RealClient) -> None:
    company.alice.do("call", name="setRoomTag", args=[company.room_id, "m.favourite", {"order": 0.25}])
    tags = {"m.favourite": {"order": 0.25}}
    second_device.do("await_room", room_id=company.room_id, path=["tags"], value=tags)
    company.alice.do("call", name="deleteRoomTag", args=[company.room_id, "m.favourite"])
    second_device.do("await_room", room_id=company.room_id, path=["tags"], value={})


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_user_deletes_a_device_by_password(company: Company, new_client: NewClient, who: str) -> None:
    user: RealClient = getattr(company, who)
    device = new_client(user.kind)
    device.sign_in(user.user_id)
    assert device.device_id in device_ids(user)
    if user is company.alice:
        user.do("call_with_password", name="deleteDevice", args=[device.device_id])
    else:
        user.do("delete_device", device_id=device.device_id, password=PASSWORD)
    assert device.device_id not in device_ids(user)
    with pytest.raises(Refused) as refused:
        device.do("call", name="whoami", args=[] if user is company.alice else {})
    assert refused.value.errcode == "M_UNKNOWN_TOKEN"


def device_ids(client: RealClient) -> set[str]:
    if client.kind.name == "js":
        return {device["device_id"] for device in client.do("call", name="getDevices", args=[])["devices"]}
    return {device["id"] for device in client.do("call", name="devices", args={})["devices"]}


def test_a_thread_is_found_by_both(company: Company) -> None:
    root = company.alice_says("shall we?")
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    replies = [company.bob_says("in a minute", **thread), company.alice_says("at last", **thread)]
    assert [event["event_id"] for event in company.bob.do("threads", room_id=company.room_id)] == [root]
    assert {"id": root, "length": 2} in company.alice.do("threads", room_id=company.room_id)
    found = company.bob.do("replies", room_id=company.room_id, event_id=root)
    assert [event["event_id"] for event in found] == replies[::-1]


def test_relations_are_found_by_js(company: Company) -> None:
    event_id = company.alice_says("who is in?")
    relation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": "✋"}}
    reaction = company.bob.do("send", room_id=company.room_id, type="m.reaction", content=relation)["event_id"]
    args = [company.room_id, event_id, "m.annotation", "m.reaction"]
    found = company.alice.do("call", name="relations", args=args)
    assert [event["event_id"] for event in found["events"]] == [reaction]


def test_a_member_is_kicked_and_comes_back_by_invitation(company: Company) -> None:
    room_id = company.bob.do("create_room", invite=[company.alice.user_id])["room_id"]
    company.alice.do("join", room_id=room_id)
    company.bob.do("await_member", room_id=room_id, user_id=company.alice.user_id)
    membership = {"room_id": room_id, "path": ["getMyMembership", []]}
    company.bob.do("call", name="room_kick", args={"room_id": room_id, "user_id": company.alice.user_id})
    company.alice.do("await_room", **membership, value="leave")
    company.bob.do("call", name="room_invite", args={"room_id": room_id, "user_id": company.alice.user_id})
    company.alice.do("await_room", **membership, value="invite")
    company.alice.do("join", room_id=room_id)
    company.alice.do("call", name="leave", args=[room_id])
    company.alice.do("await_room", **membership, value="leave")


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_client_that_has_logged_out_is_a_stranger(company: Company, new_client: NewClient, who: str) -> None:
    user: RealClient = getattr(company, who)
    device = new_client(user.kind)
    device.sign_in(user.user_id)
    assert device.device_id in device_ids(user)
    args: list[object] | dict[str, object] = [] if user is company.alice else {}
    device.do("call", name="logout", args=args)
    assert device.device_id not in device_ids(user)
    with pytest.raises(Refused):
        device.do("call", name="whoami", args=args)
