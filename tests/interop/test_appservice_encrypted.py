"""A bridge that takes part in encrypted rooms, with matrix-bot-sdk and its Rust cryptography, and a client of
matrix-js-sdk: MSC2409, MSC3202, and keys that the service hands out itself (MSC3983, MSC3984)."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.appservice_programs import Program, Registered, program_kind
from tests.interop.clients import Kind, RealClient, js_kind, skip_without
from tests.interop.conftest import NewUser
from tests.interop.people import Person
from tests.interop.servers import Homeserver, start_hearth, start_synapse

pytestmark = pytest.mark.interop

DOMAIN = "interop.test"
GHOST = f"@keys_ann:{DOMAIN}"
# What Synapse has to be told to do what Hearth does by itself.
EXPERIMENTS = """
experimental_features:
  msc2409_to_device_messages_enabled: true
  msc3202_device_masquerading: true
  msc3202_transaction_extensions: true
  msc3983_appservice_otk_claims: true
  msc3984_appservice_key_query: true
"""
DEVICE = {
    "user_id": GHOST,
    "device_id": "NETWORK",
    "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
    "keys": {"ed25519:NETWORK": "a" * 43, "curve25519:NETWORK": "b" * 43},
    "signatures": {GHOST: {"ed25519:NETWORK": "c" * 86}},
}
ONE_TIME_KEY = {"signed_curve25519:AAA": {"key": "d" * 43, "signatures": {GHOST: {"ed25519:NETWORK": "e" * 86}}}}
KEYS: dict[str, Any] = {
    "claim": {GHOST: {"NETWORK": ONE_TIME_KEY}},
    "query": {"device_keys": {GHOST: {"NETWORK": DEVICE}}},
}


@pytest.fixture(scope="module")
def registered() -> Iterator[dict[str, Registered]]:
    kind = program_kind("bot")
    skip_without(kind)
    skip_without(js_kind())
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as text:
        directory = Path(text)
        yield {
            "enc": Registered.write(kind, "enc", directory / "enc", DOMAIN, encrypted=True),
            "keys": Registered.write(kind, "keys", directory / "keys", DOMAIN, keys=KEYS),
        }


@pytest.fixture(scope="module")
def homeserver(registered: dict[str, Registered]) -> Iterator[Homeserver]:
    files = ", ".join(f'"{each.file}"' for each in registered.values())
    more = f"app_service_config_files: [{files}]\n"
    is_synapse = os.environ.get("INTEROP_SERVER") == "synapse"
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as text:
        directory = Path(text)
        homeserver = (
            start_synapse(directory, None, more + EXPERIMENTS) if is_synapse else start_hearth(directory, None, more)
        )
        yield homeserver
        homeserver.stop()


@pytest.fixture(scope="module")
def bridge(homeserver: Homeserver, registered: dict[str, Registered]) -> Iterator[Program]:
    program = Program.start(registered["enc"], homeserver.url, DOMAIN)
    yield program
    program.stop()


@pytest.fixture(scope="module")
def alice(js: Kind, new_user: NewUser) -> RealClient:
    alice = new_user(js)
    alice.do("start")
    return alice


@pytest.fixture(scope="module")
def secret(bridge: Program, alice: RealClient) -> str:
    """The encrypted room of Alice, bob of the network, and the service's own user, which the library decrypts with."""
    bob, bot = bridge.user("bob"), bridge.user("service")
    room: str = alice.do("create_room", invite=[bob, bot], encrypted=True)["room_id"]
    for nick in ("bob", "service"):
        bridge.do("line", kind="invite", nick=nick, room_id=room)
    bridge.do("encrypt", nick="bob")
    for user_id in (bob, bot):
        alice.do("await_member", room_id=room, user_id=user_id)
    return room


def test_what_alice_encrypts_the_bridge_reads(bridge: Program, alice: RealClient, secret: str) -> None:
    for number in range(3):
        body = f"for your eyes only {number}"
        alice.do("send", room_id=secret, content={"msgtype": "m.text", "body": body})
        assert bridge.do("line", kind="message", body=body)["sender"] == alice.user_id


def test_what_the_bridge_encrypts_alice_reads(bridge: Program, alice: RealClient, secret: str) -> None:
    for number in range(3):
        event_id = bridge.do("say", nick="bob", room_id=secret, text=f"for yours {number}")
        event = alice.do("await_event", room_id=secret, event_id=event_id)
        assert (event["content"]["body"], event["encrypted"]) == (f"for yours {number}", True)


def test_a_second_ghost_reads_and_writes_too(bridge: Program, alice: RealClient, secret: str) -> None:
    ann = bridge.user("ann")
    alice.do("call", name="invite", args=[secret, ann])
    bridge.do("line", kind="invite", nick="ann", room_id=secret)
    bridge.do("encrypt", nick="ann")
    alice.do("await_member", room_id=secret, user_id=ann)
    event_id = bridge.do("say", nick="ann", room_id=secret, text="ann is here")
    assert alice.do("await_event", room_id=secret, event_id=event_id)["sender"] == ann
    alice.do("send", room_id=secret, content={"msgtype": "m.text", "body": "hello ann"})
    bridge.do("line", kind="message", body="hello ann")


def test_a_new_device_of_alice_is_encrypted_to(
    bridge: Program, alice: RealClient, secret: str, js: Kind, new_client: Any
) -> None:
    phone = new_client(js)
    phone.sign_in(alice.user_id)
    phone.do("start")
    # The bridge hears of it by device_lists in a transaction. The library tells them to those of its users alone of
    # whom keys are counted in the same transaction, which the service's own user always is.
    phone.do("send", room_id=secret, content={"msgtype": "m.text", "body": "by phone"})
    bridge.do("line", kind="message", body="by phone")
    event_id = bridge.do("say", nick="service", room_id=secret, text="to both of you")
    for device in (alice, phone):
        assert device.do("await_event", room_id=secret, event_id=event_id)["content"]["body"] == "to both of you"


def test_keys_of_the_network_are_handed_out_by_the_service(
    homeserver: Homeserver, registered: dict[str, Registered]
) -> None:
    program = Program.start(registered["keys"], homeserver.url, DOMAIN)
    try:
        bob = Person(homeserver, "bob")
        queried = bob.ask("POST", "/keys/query", {"device_keys": {GHOST: []}})["device_keys"][GHOST]
        assert queried["NETWORK"]["keys"] == DEVICE["keys"]
        claimed = bob.ask("POST", "/keys/claim", {"one_time_keys": {GHOST: {"NETWORK": "signed_curve25519"}}})
        assert claimed["one_time_keys"][GHOST]["NETWORK"] == ONE_TIME_KEY
        assert {"keys", "claim"} <= set(program.do("asked"))
    finally:
        program.stop()
