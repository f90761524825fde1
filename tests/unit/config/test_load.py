"""A homeserver.yaml as Synapse would have it, read."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synapse_like_config import Config, ConfigFault
from synapse_like_config.config import Sections
from synapse_like_config.not_yet import WARNING
from synapse_like_config.reading import Report, read_section
from synapse_like_config.units import Rate

FIXTURES = Path(__file__).parent / "fixtures"
Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str = "", environ: dict[str, str] | None = None, **options: Any) -> Config:
        file = tmp_path / "homeserver.yaml"
        file.write_text(text + yaml.safe_dump({"server_name": "example.org", **options}))
        return Config.load((file,), environ=environ or {}, data_directory=tmp_path / "data")

    return loaded


def faults(load: Load, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigFault) as raised:
        load(**options)
    return raised.value.faults


def test_without_a_file_it_is_a_server_for_this_machine(tmp_path: Path) -> None:
    config = Config.load((), environ={}, data_directory=tmp_path)
    assert config == Config.default(tmp_path)
    assert config.server.server_name == "localhost"
    (listener,) = config.listeners.open
    assert (listener.port, listener.bind_addresses, listener.tls) == (8008, ("127.0.0.1", "::1"), False)
    assert listener.serves == {"client", "federation"}
    assert config.database.dsn is None
    assert config.media_path == tmp_path / "media"
    assert config.signing_key_path == tmp_path / "localhost.signing.key"
    assert not config.registration.enable_registration
    assert config.ratelimits.rc_message == Rate(0.2, 10)
    assert config.warnings == ()


def test_a_file_of_synapse_is_taken_as_it_is() -> None:
    config = Config.load((FIXTURES / "synapse.yaml",), environ={}, data_directory=Path("data"))
    assert all(warning.endswith(WARNING) for warning in config.warnings)
    assert config.server.server_name == "127.0.0.1:8448"
    assert config.server.public_baseurl == "http://127.0.0.1:8008"
    plain, tls = config.listeners.open
    assert (plain.port, sorted(plain.serves), plain.x_forwarded) == (8008, ["client"], True)
    assert (tls.port, sorted(tls.serves), tls.tls) == (8448, ["federation", "keys"], True)
    assert config.listeners.tls_certificate_path == Path("/run/tls/cert.pem")
    assert config.federation.federation_custom_ca_list == (Path("/run/tls/ca.pem"),)
    assert config.federation.ip_range_blacklist == ()
    assert config.federation.ip_range_whitelist == ("127.0.0.0/8",)
    assert config.database.dsn == "user='pg' host='127.0.0.1' port='5997' dbname='bench'"
    assert config.database.connections == 10
    assert config.server.caches.global_factor == 2.0
    assert config.keys.trusted_key_servers == ()
    assert config.registration.registration_shared_secret == "abc"
    assert config.rooms.may_publish("@a:b", "!a:b", ())
    assert config.ratelimits.rc_login.failed_attempts == Rate(1e6, 1e6)
    assert config.media.remote_media_download_per_second == 10000 << 20
    assert config.signing_key_path == Path("/run/a/signing.key")


def test_all_faults_are_told_at_once_with_their_key_paths(load: Load) -> None:
    told = faults(
        load,
        listeners=[{"port": "eighty", "type": "http"}, {"port": 1, "resources": [{"names": ["clients"]}]}],
        max_upload_size="50 megabytes",
        rc_message={"per_second": "often"},
        password_config={"policy": {"minimum_length": "long"}},
        trusted_key_servers=[{"verify_keys": {}}],
        enable_registration="maybe",
        bcrypt_rounds=99,
        default_room_version="13",
        ip_range_blacklist=["10.0.0.0/99"],
        auto_join_rooms=["general"],
    )
    text = "\n".join(told)
    for path in (
        "listeners[0].port:", "listeners[1].resources[0].names[0]:", "max_upload_size:", "rc_message.per_second:",
        "password_config.policy.minimum_length:", "trusted_key_servers[0]: server_name", "enable_registration:",
        "bcrypt_rounds:", "default_room_version:", "ip_range_blacklist[0]:", "auto_join_rooms[0]:",
    ):  # fmt: skip
        assert path in text, path


def test_the_server_name_must_be_given(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("enable_search: true\n")
    with pytest.raises(ConfigFault, match="server_name: must be given"):
        Config.load((file,), environ={}, data_directory=tmp_path)


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", "\x00", "3\n"])
def test_what_is_no_mapping_of_options_is_a_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text(text)
    with pytest.raises(ConfigFault, match=r"homeserver\.yaml"):
        Config.load((file,), environ={}, data_directory=tmp_path)


def test_an_option_that_only_synapse_has_is_told_from_a_slip_of_the_pen(load: Load) -> None:
    config = load(
        redis={"enabled": True},
        report_stats=False,
        enable_registraton=False,
        presence={"enabeld": True},
        listeners=[{"port": 1, "tag": "a", "resources": []}],
        frobnicate=1,
    )
    assert set(config.warnings) == {
        "redis: Synapse has this option, Hearth does not; it is ignored",
        "listeners[0].tag: Synapse has this option, Hearth does not; it is ignored",
        "enable_registraton: there is no such option; it is ignored (did you mean enable_registration?)",
        "presence.enabeld: there is no such option; it is ignored (did you mean enabled?)",
        "frobnicate: there is no such option; it is ignored",
    }


def test_an_option_without_effect_that_is_set_to_its_default_is_no_warning(load: Load) -> None:
    assert load("oidc_providers: []\nretention: {enabled: false}\n").warnings == ()
    assert load("retention: {enabled: true}\n").warnings == (f"retention: {WARNING}",)


def test_one_mistake_is_told_once(load: Load) -> None:
    with pytest.raises(ConfigFault) as caught:
        load("database: {name: sqlite3, args: {database: homeserver.db}}\n")
    (fault,) = caught.value.faults
    assert fault.startswith("database.name: Hearth has no SQLite")


def test_an_option_without_a_value_is_as_good_as_absent(load: Load) -> None:
    config = load("password_config:\npresence:\nauto_join_rooms:\nbcrypt_rounds:\n")
    assert config.login.password_config.for_login
    assert config.registration.auto_join_rooms == ()


def test_null_turns_off_what_may_be_off(load: Load) -> None:
    assert load().login.refreshable_access_token_lifetime == 300_000
    assert load("refreshable_access_token_lifetime: null\n").login.refreshable_access_token_lifetime is None


def test_a_rate_may_be_given_in_part(load: Load) -> None:
    config = load(rc_message={"per_second": 3}, rc_login={"address": {"burst_count": 50}})
    assert config.ratelimits.rc_message == Rate(3, 10)
    assert config.ratelimits.rc_login.address == Rate(0.003, 50)
    assert config.ratelimits.rc_login.account == Rate(0.003, 5)


def test_several_files_are_laid_over_one_another(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("server_name: example.org\nenable_search: false\npresence: {enabled: false}\n")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "2.yaml").write_text("enable_search: true\n")
    (tmp_path / "conf" / "1.yaml").write_text("enable_search: false\npresence: {}\n")
    (tmp_path / "conf" / "notes.txt").write_text("no: yaml: here")
    config = Config.load((tmp_path / "a.yaml", tmp_path / "conf"), environ={}, data_directory=tmp_path)
    assert config.server.enable_search
    assert config.server.presence.enabled is True


def test_the_environment_goes_over_the_file(load: Load) -> None:
    config = load(
        environ={
            "HEARTH_SERVER_NAME": "other.org",
            "HEARTH_DATABASE__NAME": "psycopg2",
            "HEARTH_DATABASE__ARGS__HOST": "db",
            "HEARTH_DATABASE__ARGS__PASSWORD": "0123",
            "HEARTH_REGISTRATION_SHARED_SECRET": "12345",
            "HEARTH_MAX_UPLOAD_SIZE": "1M",
            "HEARTH_ENABLE_SEARCH": "false",
            "HEARTH_DEFAULT_ROOM_VERSION": "11",
            "HEARTH_AUTO_JOIN_ROOMS": '["#a:example.org"]',
            "HEARTH_RC_MESSAGE__PER_SECOND": "7",
            "HEARTH_DATA": "/somewhere",
            "HOME": "/root",
        },
        database={"args": {"user": "me"}},
    )
    assert config.server.server_name == "other.org"
    assert config.database.dsn == "user='me' host='db' password='0123'"
    assert "0123" not in repr(config)
    assert config.registration.registration_shared_secret == "12345"
    assert config.media.max_upload_size == 1 << 20
    assert not config.server.enable_search
    assert config.server.default_room_version == "11"
    assert config.registration.auto_join_rooms == ("#a:example.org",)
    assert config.ratelimits.rc_message == Rate(7, 10)
    assert all(warning.endswith(WARNING) for warning in config.warnings)


def test_a_fault_names_the_variable_it_came_from(load: Load) -> None:
    told = faults(load, environ={"HEARTH_BCRYPT_ROUNDS": "many"})
    assert told == ("bcrypt_rounds (HEARTH_BCRYPT_ROUNDS): must be a whole number, not 'many'",)
    assert load(environ={"HEARTH_BCRIPT_ROUNDS": "3"}).warnings == (
        "bcript_rounds (HEARTH_BCRIPT_ROUNDS): there is no such option; it is ignored (did you mean bcrypt_rounds?)",
    )


def test_a_secret_may_be_in_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    config = load(registration_shared_secret_path=str(tmp_path / "secret"))
    assert config.registration.registration_shared_secret == "s3cret"
    assert "s3cret" not in repr(config)
    assert faults(load, registration_shared_secret_path=str(tmp_path / "none")) == (
        "registration_shared_secret_path: the file cannot be read: No such file or directory",
    )
    assert "not both" in faults(load, form_secret="a", form_secret_path="b")[0]


def test_the_signing_key_is_looked_for_beside_the_file_as_synapse_does(load: Load, tmp_path: Path) -> None:
    assert load().signing_key_path == tmp_path / "data" / "example.org.signing.key"
    (tmp_path / "example.org.signing.key").write_text("")
    assert load().signing_key_path == tmp_path / "example.org.signing.key"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(string.printable, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_letters), inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_whatever_stands_at_an_option_the_reader_does_not_fail(value: Any) -> None:
    report = Report({})
    for field in attrs.fields(Sections):
        read_section(field.metadata["of"], everywhere(field.metadata["of"], value), report)


def everywhere(cls: type, value: Any) -> dict[str, Any]:
    """The value at every option; in lists too, and below options that have options of their own."""
    hints, tree = get_type_hints(cls), {}
    for field in attrs.fields(cls):
        inner = [hint for hint in (hints[field.name], *get_args(hints[field.name])) if attrs.has(hint)]
        below = everywhere(inner[0], value) if inner else value
        tree[field.name] = [below] if get_origin(hints[field.name]) is tuple else below
    return tree
