"""What the server is called and how it presents itself."""

from typing import Any, Literal

from attrs import frozen

from matrix.ids import ServerName
from matrix.room_versions import ROOM_VERSIONS
from synapse_like_config.reading import Json, option, section
from synapse_like_config.units import BadValue, BaseUrl, Milliseconds


@frozen
class Presence:
    """Who is online."""

    enabled: Literal[True, False, "untracked"] = option(
        True, "Whether users see who is online. `untracked`: only what bridges and modules set is passed on."
    )
    include_offline_users_on_sync: bool = option(
        False, "Whether the first sync of a client names those who are offline too."
    )

    last_active_granularity: Milliseconds = option(Milliseconds(60_000), "Who did something within so long is active.")
    sync_online_timeout: Milliseconds = option(Milliseconds(30_000), "Who did not sync for so long is offline.")
    idle_timeout: Milliseconds = option(Milliseconds(300_000), "Who did nothing for so long is away.")

    @property
    def is_tracked(self) -> bool:
        return self.enabled is True


@frozen
class Retention:
    """How long messages are kept, by the policies of the rooms (`m.room.retention`)."""

    enabled: bool = option(False, "Whether messages are deleted by the policies of their rooms.")
    default_policy: "Policy" = section(lambda: Policy(), "The policy of rooms that have none.")
    allowed_lifetime_min: Milliseconds | None = option(None, "Rooms cannot ask for a shorter `max_lifetime`.")
    allowed_lifetime_max: Milliseconds | None = option(None, "Rooms cannot ask for a longer `max_lifetime`.")
    purge_jobs: "tuple[PurgeJob, ...]" = option((), "How often which rooms are purged. None given: all, once a day.")

    def check(self) -> None:
        _check_order(self.allowed_lifetime_min, self.allowed_lifetime_max, "allowed_lifetime_min")


@frozen
class Policy:
    """A retention policy."""

    min_lifetime: Milliseconds | None = option(None, "A message is kept at least so long.")
    max_lifetime: Milliseconds | None = option(None, "A message is deleted after so long.")

    def check(self) -> None:
        _check_order(self.min_lifetime, self.max_lifetime, "min_lifetime")


@frozen
class PurgeJob:
    """Rooms whose `max_lifetime` lies within these bounds are purged so often."""

    interval: Milliseconds = option(Milliseconds(86_400_000), "How often.")
    shortest_max_lifetime: Milliseconds | None = option(None, "Only rooms with more than this `max_lifetime`.")
    longest_max_lifetime: Milliseconds | None = option(None, "Only rooms with at most this `max_lifetime`.")


@frozen
class Caches:
    """How much is kept in memory."""

    global_factor: float = option(0.5, "A factor to the size of all caches.")


def _room_version(raw: Any) -> str:
    # Without quotes YAML makes it a number.
    version = str(raw)
    if version not in ROOM_VERSIONS:
        raise BadValue(f"{version!r} is none of the room versions {', '.join(ROOM_VERSIONS)}")
    return version


def _check_order(low: int | None, high: int | None, key: str) -> None:
    if low is not None and high is not None and low > high:
        raise BadValue("the minimum is greater than the maximum", key=key)


@frozen
class Server:
    """The server."""

    server_name: ServerName = option(
        ServerName("localhost"),
        "What stands after the colon in user ids and room aliases. It cannot be changed once there are users.",
    )
    public_baseurl: BaseUrl | None = option(
        None, "The URL by which clients reach this server, if it is not `https://<server_name>/`."
    )
    web_client_location: BaseUrl | None = option(None, "Where `/` redirects to: a web client.")
    pid_file: str | None = option(None, "A file to which the process id is written.")
    serve_server_wellknown: bool = option(
        False, "Whether to answer `/.well-known/matrix/server`, sending other servers to port 443 of this name."
    )
    extra_well_known_client_content: dict[str, Any] = option({}, "More for `/.well-known/matrix/client`.")
    admin_contact: str | None = option(
        None, "How to reach the administrator: an address, a Matrix id or a URL, told to whoever asks."
    )
    default_room_version: str = option("12", "The version of rooms that clients make.", read=_room_version)
    presence: Presence = section(Presence, "Who is online.")
    enable_search: bool = option(True, "Whether users may search messages.")
    filter_timeline_limit: int = option(100, "The most events that a sync gives of one room; -1: no limit but our own.")
    redaction_retention_period: Milliseconds | None = option(
        Milliseconds(7 * 86_400_000), "After so long what was redacted is deleted from the database too. Null: never."
    )
    forgotten_room_retention_period: Milliseconds | None = option(
        None, "After so long a room that all local users have forgotten is deleted. Null: never."
    )
    user_ips_max_age: Milliseconds | None = option(
        Milliseconds(28 * 86_400_000), "How long to remember the addresses from which users came. Null: for ever."
    )
    delete_stale_devices_after: Milliseconds | None = option(
        None, "After so long a device that was not used is signed out. Null: never."
    )
    max_event_delay_duration: Milliseconds | None = option(
        None, "How far ahead clients may schedule an event. Null: they may not."
    )
    exclude_rooms_from_sync: tuple[str, ...] = option((), "Rooms that no sync shows: room ids.")
    dummy_events_threshold: int = option(
        10, "Where a room has more open ends than these, an event is sent that joins them. More than 10 count as 10."
    )
    soft_file_limit: int = option(0, "The number of files that the process may open; 0: as many as the system allows.")
    request_token_inhibit_3pid_errors: bool = option(
        False, "Whether to hide, in requests for a token, that an address is (not) in use."
    )
    caches: Caches = section(Caches, "How much is kept in memory.")
    retention: Retention = section(Retention, "How long messages are kept.")

    def well_known_support(self) -> Json | None:
        """The body of `/.well-known/matrix/support`, if anybody can be named. An address may stand as a mailto: URL."""
        contact = self.admin_contact
        if not contact:
            return None
        if contact.startswith(("http://", "https://")):
            return {"support_page": contact}
        key = "matrix_id" if contact.startswith("@") else "email_address"
        return {"contacts": [{"role": "m.role.admin", key: contact.removeprefix("mailto:")}]}

    def well_known_client(self, base_url: str) -> Json:
        """The body of `/.well-known/matrix/client`."""
        return {"m.homeserver": {"base_url": base_url}, **self.extra_well_known_client_content}
