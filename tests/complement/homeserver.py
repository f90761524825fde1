"""A process of Hearth: forked from one that has imported everything already, which saves a second at each start."""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import yaml
from attrs import frozen

from tests.complement import reactor_to_come  # isort: skip  before what imports the reactor

# All of this is imported before the fork.
import homeserver.app.federation
from homeserver.__main__ import the_reactor
from homeserver.cli.commands import hearth
from homeserver.runtime import garbage
from tests.complement.certificates import write_certificate
from tests.complement.names import HostsFile, no_services

_FREE = {"per_second": 100_000, "burst_count": 100_000}
_FREE_LIMITS = {
    "rc_message": _FREE,
    "rc_registration": _FREE,
    "rc_registration_token_validity": _FREE,
    "rc_login": {"address": _FREE, "account": _FREE, "failed_attempts": _FREE},
    "rc_joins": {"local": _FREE, "remote": _FREE},
    "rc_joins_per_room": _FREE,
    "rc_invites": {"per_room": _FREE, "per_user": _FREE, "per_issuer": _FREE},
    "rc_third_party_invite": _FREE,
    "rc_3pid_validation": _FREE,
    "rc_key_requests": _FREE,
    "rc_media_create": _FREE,
    "rc_room_creation": _FREE,
    "rc_reports": _FREE,
    "rc_presence": {"per_user": _FREE},
    "rc_delayed_event_mgmt": _FREE,
    "rc_federation": {"window_size": 1, "sleep_limit": 9999, "reject_limit": 9999, "concurrent": 9999},
}


@frozen
class Place:
    """Where a server lives: its directory, addresses, ports and database."""

    server_name: str
    directory: Path
    address: str  # of its own, where it federates on port 8448
    client_port: int  # these two on 127.0.0.1, where Complement comes from
    federation_port: int
    database: dict[str, str]
    hosts: Path

    @property
    def log(self) -> Path:
        return self.directory / "log"


def start(place: Place) -> int:
    """The process id of a new process that serves; it is the first of its own group."""
    pid = os.fork()
    if pid:
        return pid
    _serve(place)


def warm_up() -> None:
    """Called once before the first start: what is there now is shared by all."""
    garbage.look_through()


def _serve(place: Place) -> NoReturn:
    """Never comes back into what the parent was doing."""
    try:
        _become_a_process(place)
        write_certificate(place.directory, place.server_name)
        path = place.directory / "homeserver.yaml"
        path.write_text(yaml.safe_dump(_configuration(place)))
        words = ["serve", "-c", str(path), "--data", str(place.directory / "data")]
        hearth.main(words, prog_name="hearth", standalone_mode=False, obj=lambda: _reactor(place))
    except BaseException:  # noqa: BLE001  it is the child's outermost
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def _become_a_process(place: Place) -> None:
    os.setsid()
    os.closerange(3, 4096)
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for wanted, is_now in ((0, nothing), (1, log), (2, log)):
        os.dup2(is_now, wanted)
    os.closerange(3, 16)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(place.directory)


def _reactor(place: Place) -> Any:
    reactor_to_come.make_way()
    reactor: Any = the_reactor()
    reactor.installNameResolver(HostsFile(place.hosts))
    # The names of a test are in no DNS, and each test has its own hs1: what looks names up is exchanged, and all that
    # is made of the answers (discovery, addresses, certificates) is the real thing.
    homeserver.app.federation.NamesReactor = lambda reactor: reactor  # type: ignore[assignment,misc]
    homeserver.app.federation.SystemDns = lambda reactor: no_services  # type: ignore[assignment,misc]
    # It would ask the system for names, on threads of its own.
    homeserver.app.federation.NamesReactor = lambda reactor: reactor  # type: ignore[assignment,misc]
    return reactor


def _configuration(place: Place) -> dict[str, Any]:
    registrations = sorted((place.directory / "complement" / "appservice").glob("*.yaml"))
    return {
        "server_name": place.server_name,
        "public_baseurl": f"http://127.0.0.1:{place.client_port}/",
        "listeners": [
            _listener("127.0.0.1", place.client_port, tls=False),
            _listener("127.0.0.1", place.federation_port, tls=True),
            _listener(place.address, 8448, tls=True),
        ],
        "tls_certificate_path": str(place.directory / "server.crt"),
        "tls_private_key_path": str(place.directory / "server.key"),
        "database": {"name": "psycopg2", "args": place.database, "allow_unsafe_locale": True},
        "registration_shared_secret": "complement",
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "allow_guest_access": True,
        "app_service_config_files": [str(path) for path in registrations],
        # Other servers of a test are on this machine, and known to nobody else.
        "federation_custom_ca_list": [str(place.directory / "complement" / "ca" / "ca.crt")],
        "trusted_key_servers": [],
        "ip_range_blacklist": [],
        # There are tests of both the endpoints with a token and those without.
        "enable_authenticated_media": False,
        "url_preview_enabled": True,
        "url_preview_ip_range_blacklist": [],
        "allow_device_name_lookup_over_federation": True,
        "allow_public_rooms_over_federation": True,
        "enable_room_list_search": True,
        "room_list_publication_rules": [{"action": "allow"}],
        "login_via_existing_session": {"enabled": True},
        "federation_rr_transactions_per_room_per_second": 9999,
        "server_notices": {"system_mxid_localpart": "_server", "room_name": "Server Alert"},
        **_FREE_LIMITS,
    }


def _listener(address: str, port: int, *, tls: bool) -> dict[str, Any]:
    resources = [{"names": ["client", "federation"]}]
    return {"type": "http", "port": port, "bind_addresses": [address], "tls": tls, "resources": resources}
