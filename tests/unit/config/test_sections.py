"""What single sections say of their options, and refuse."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from synapse_like_config import Config, ConfigFault


def loaded(tmp_path: Path, **options: Any) -> Config:
    file = tmp_path / "homeserver.yaml"
    file.write_text(yaml.safe_dump({"server_name": "example.org", **options}))
    return Config.load((file,), environ={}, data_directory=tmp_path)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"listeners": [{"port": 1, "path": "/a"}]}, "listeners[0]:"),
        ({"listeners": [{"type": "http"}]}, "listeners[0]:"),
        ({"listeners": [{"port": 70000}]}, "listeners[0].port:"),
        ({"listeners": [{"port": 1, "tls": True}]}, "tls_certificate_path:"),
        ({"listeners": [{"port": 1, "type": "replication"}]}, "listeners[0].type:"),
        ({"database": {"name": "sqlite3", "args": {"database": "a.db"}}}, "database.name: Hearth has no SQLite"),
        ({"database": {"name": "psycopg2", "args": {"cp_max": "many"}}}, "database.args.cp_max:"),
        ({"database": {"name": "psycopg2", "args": {"host": ["a"]}}}, "database.args.host:"),
        ({"database": {"args": {"host": "a"}}}, "database.name: must be psycopg2"),
        ({"enable_registration": True}, "enable_registration: open to spammers"),
        ({"autocreate_auto_join_room_preset": "private_chat"}, "auto_join_mxid_localpart:"),
        ({"auto_join_mxid_localpart": "A B"}, "auto_join_mxid_localpart:"),
        ({"session_lifetime": "1h", "refresh_token_lifetime": "2h"}, "refresh_token_lifetime:"),
        ({"jwt_config": {"enabled": True}}, "jwt_config.secret:"),
        ({"email": {"enable_notifs": True}}, "email.notif_from:"),
        ({"retention": {"default_policy": {"min_lifetime": "2d", "max_lifetime": "1d"}}}, "retention.default_policy."),
        ({"max_upload_size": 0}, "max_upload_size:"),
        ({"turn_username": "a"}, "turn_username:"),
        ({"rc_message": {"per_second": -1}}, "rc_message: a rate cannot be negative"),
        ({"thumbnail_sizes": [{"width": 1, "height": 1}]}, "thumbnail_sizes[0]: method must be given"),
        ({"room_prejoin_state": {"additional_event_types": [["a"]]}}, "room_prejoin_state.additional_event_types:"),
        ({"alias_creation_rules": [{"action": "maybe"}]}, "alias_creation_rules[0].action:"),
        ({"server_notices": {"system_mxid_localpart": "A"}}, "server_notices.system_mxid_localpart:"),
    ],
)
def test_a_fault_is_told_where_it_is(tmp_path: Path, options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigFault) as raised:
        loaded(tmp_path, **options)
    assert raised.value.faults[0].startswith(path)


def test_a_listener_has_its_addresses_in_any_of_synapses_ways(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        listeners=[
            {"port": 1},
            {"port": 2, "bind_address": "127.0.0.1"},
            {"port": 3, "bind_address": "::1", "bind_addresses": ["127.0.0.1"]},
            {"port": 4, "bind_addresses": []},
            {"port": 5, "type": "manhole"},
            {"port": 6, "type": "metrics"},
            {"path": "/run/a.sock", "resources": [{"names": "client"}, {"names": ["replication", "health"]}]},
        ],
    )
    *_, metrics, unix = config.listeners.open
    assert [listener.bind_addresses for listener in config.listeners.open[:4]] == [
        ("::", "0.0.0.0"), ("127.0.0.1",), ("127.0.0.1", "::1"), ("::", "0.0.0.0"),
    ]  # fmt: skip
    assert (metrics.port, sorted(metrics.serves)) == (6, ["metrics"])
    assert (sorted(unix.serves), unix.x_forwarded) == (["client", "health"], True)


def test_the_dsn_quotes_what_libpq_would_misread(tmp_path: Path) -> None:
    args = {"user": "a b", "password": "it's\\", "database": "d", "host": None, "port": 5432, "cp_min": 1, "cp_max": 3}
    config = loaded(tmp_path, database={"name": "psycopg2", "args": args})
    assert config.database.dsn == r"dbname='d' password='it\'s\\' port='5432' user='a b'"
    assert config.database.connections == 3


def test_the_first_rule_that_matches_decides_on_an_alias(tmp_path: Path) -> None:
    rooms = loaded(
        tmp_path,
        alias_creation_rules=[
            {"user_id": "@spam*", "action": "deny"},
            {"alias": "#official_*", "user_id": "@ADMIN:example.org", "action": "allow"},
            {"alias": "#official_*", "action": "deny"},
            {"action": "allow"},
        ],
    ).rooms
    assert not rooms.may_make_alias("@Spammer:a", "!r:a", "#a:a")
    assert rooms.may_make_alias("@admin:example.org", "!r:a", "#official_x:a")
    assert not rooms.may_make_alias("@bob:a", "!r:a", "#official_x:a")
    assert rooms.may_make_alias("@bob:a", "!r:a", "#x:a")


def test_by_default_aliases_are_free_and_rooms_may_be_published(tmp_path: Path) -> None:
    rooms = loaded(tmp_path).rooms
    assert rooms.may_make_alias("@bob:a", "!r:a", "#x:a")
    assert rooms.may_publish("@bob:a", "!r:a", ())


def test_with_an_empty_list_of_rules_nobody_publishes(tmp_path: Path) -> None:
    rooms = loaded(tmp_path, room_list_publication_rules=[]).rooms
    assert not rooms.may_publish("@bob:a", "!r:a", ("#x:a",))


def test_a_rule_on_aliases_matches_no_room_without_one(tmp_path: Path) -> None:
    rooms = loaded(tmp_path, room_list_publication_rules=[{"alias": "#x*", "action": "allow"}]).rooms
    assert not rooms.may_publish("@bob:a", "!r:a", ())
    assert rooms.may_publish("@bob:a", "!r:a", ("#y:a", "#x:a"))


@pytest.mark.parametrize(
    ("enabled", "login", "reauth"), [(True, True, True), (False, False, False), ("only_for_reauth", False, True)]
)
def test_passwords_may_be_for_confirmations_only(tmp_path: Path, enabled: Any, login: bool, reauth: bool) -> None:
    passwords = loaded(tmp_path, password_config={"enabled": enabled}).login.password_config
    assert (passwords.for_login, passwords.for_reauth) == (login, reauth)


def test_an_empty_whitelist_allows_no_server(tmp_path: Path) -> None:
    assert loaded(tmp_path).federation.may_talk_to("a")
    assert not loaded(tmp_path, federation_domain_whitelist=[]).federation.may_talk_to("a")
    assert loaded(tmp_path, federation_domain_whitelist=["a"]).federation.may_talk_to("a")


def test_values_that_yaml_reads_otherwise_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text(
        "server_name: example.org\ndefault_room_version: 10\nencryption_enabled_by_default_for_room_type: off\n"
        "federation_client_minimum_tls_version: 1.2\nemail: {smtp_port: '587'}\n"
    )
    config = Config.load((file,), environ={}, data_directory=tmp_path)
    assert config.server.default_room_version == "10"
    assert config.rooms.encryption_enabled_by_default_for_room_type == "off"
    assert config.federation.federation_client_minimum_tls_version == "1.2"
    assert config.notifications.email.smtp_port == 587


def test_prejoin_state_takes_types_and_pairs(tmp_path: Path) -> None:
    state = {"additional_event_types": ["a.b", ["c.d", "key"]]}
    assert loaded(tmp_path, room_prejoin_state=state).rooms.room_prejoin_state.additional_event_types == (
        ("a.b", None),
        ("c.d", "key"),
    )
