"""The composition root: from a configuration to a running server, in plain code, bottom up.

Only this package knows all parts. Each part is given what it uses; nobody is given the server.
"""

import time
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from appservice.registry import Registry
from homeserver.admin_api.monitoring import HealthApi, MetricsApi
from homeserver.app.appservice_queries import appservice_query_apis, build_appservice_queries
from homeserver.app.appservices import Appservices, build_appservices
from homeserver.app.core import Core
from homeserver.app.e2ee import build_encryption, encryption_apis, encryption_apis_for_servers
from homeserver.app.features import feature_apis
from homeserver.app.federation import Federation, build_federation, federation_apis, key_apis
from homeserver.app.federation_queue import Sending, build_hosts, build_sending, transaction_apis
from homeserver.app.for_servers import ForServers, build_acls, build_turns
from homeserver.app.history_import import batch_send_api
from homeserver.app.media import Media, build_media, media_apis, media_apis_for_servers
from homeserver.app.member_contents import build_avatar_rules
from homeserver.app.notices import notice_apis
from homeserver.app.old_sync import old_sync_apis
from homeserver.app.policy import build_policies
from homeserver.app.push import Pushing, build_push, build_pushers, push_apis
from homeserver.app.reading import build_reading, reading_apis
from homeserver.app.remote_membership import build_door
from homeserver.app.remote_rooms import build_backfill
from homeserver.app.request_metrics import RequestMetrics
from homeserver.app.room_changes import build_room_changes, room_change_apis
from homeserver.app.rooms import Rooms, build_rooms
from homeserver.app.settings import user_settings
from homeserver.app.sync import Syncing, build_sync, sync_apis
from homeserver.app.upkeep import start_upkeep, watch
from homeserver.app.users import UserHooks, Users, build_users, user_apis
from homeserver.app.welcome import build_auto_accept, build_welcome
from homeserver.client_api.front_door import FrontDoorApi
from homeserver.client_api.versions import VersionsApi, WellKnown
from homeserver.client_api.voip import VoipApi
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.alias_reservations import AliasReservations
from homeserver.services.rooms.intake import Signer
from homeserver.services.users.registration import NewAccount
from homeserver.services.users.remote_profiles import RemoteProfiles
from homeserver.setup_page.page import SetupPage
from homeserver.web.listeners import Listener, Listeners
from homeserver.web.router import Router
from homeserver.web.server import HttpServer
from matrix.ids import UserId
from matrix.signing import SigningKey
from storage.embedded import EmbeddedPostgres
from storage.opened import open_storage, prepare
from synapse_like_config import Config
from synapse_like_config.signing_key_file import read_or_make
from synapse_like_config.signing_key_rotation import take_up

# Running requests get this long to end, of the ten seconds that the whole stop may take.
DRAIN_S = 6.0
TASKS_S = 2.0
UNSTABLE_FEATURES = {
    "org.matrix.msc4222": True,
    "org.matrix.msc3916.stable": True,
    "uk.tcpip.msc4133": True,
    "uk.tcpip.msc4133.stable": True,
    "org.matrix.msc2285.stable": True,
    "org.matrix.msc3771": True,
    "org.matrix.msc3773": True,
    "org.matrix.msc3440.stable": True,
    "org.matrix.msc3391": True,
    "org.matrix.msc3874": True,
    "org.matrix.msc3881": True,
    "org.matrix.msc3890": True,
    "org.matrix.msc3930": True,
    "org.matrix.msc3967": True,
    "org.matrix.msc4155": True,
    "com.beeper.batch_sending": True,
    "com.beeper.msc4169": True,
    "fi.mau.msc2246.stable": True,
    "fi.mau.msc2659": True,
    "fi.mau.msc2659.stable": True,
    "uk.half-shot.msc2666.query_mutual_rooms": True,
    "uk.half-shot.msc2666.query_mutual_rooms.stable": True,
}


@frozen(kw_only=True)
class Apis:
    """What is served, by the resource that a listener names."""

    client: Sequence[object]
    federation: Sequence[object]
    keys: Sequence[object]


@frozen(kw_only=True)
class Outgoing:
    """What tells clients, their push gateways and other servers."""

    syncing: Syncing
    pushing: Pushing
    federation: Federation
    sending: Sending


class Server:
    """A server that is built. Its database is open; it listens from `start` to `stop`."""

    def __init__(
        self,
        *,
        core: Core,
        users: Users,
        rooms: Rooms,
        media: Media,
        appservices: Appservices,
        outgoing: Outgoing,
        apis: Apis,
    ) -> None:
        self.core = core
        self.first_user_token: str | None = None
        self.postgres: EmbeddedPostgres | None = None
        self.users = users
        self.rooms = rooms
        self.media = media
        self.appservices = appservices
        self._syncing = outgoing.syncing
        self._pushing = outgoing.pushing
        self.federation = outgoing.federation
        self.sending = outgoing.sending
        self._apis = apis
        self.router = self.router_of(frozenset({"client", "federation", "keys"}))
        self._listeners = Listeners(reactor=core.reactor)

    async def register_user(self, localpart: str, password: str, *, admin: bool) -> UserId:
        """A new account, as the operator says. Raises: MatrixError, if the name is taken or the password too weak."""
        self.users.registration.check_password(password)
        return await self.users.registration.register(
            NewAccount(localpart=localpart, password=password, is_admin=admin)
        )

    async def start(self) -> None:
        """Listens. Raises: OSError, where a port is taken."""
        self.first_user_token = await self.users.first_user.setup_token_if_empty()
        listeners = self.core.config.listeners
        for listener in listeners.open:
            proxies = 1 if listener.x_forwarded else 0
            opened = Listener(
                port=listener.port or 0,
                bind_addresses=listener.bind_addresses,
                path=None if listener.path is None else str(listener.path),
                mode=listener.mode,
                tls_certificate_path=str(listeners.tls_certificate_path) if listener.tls else None,
                tls_private_key_path=str(listeners.tls_private_key_path) if listener.tls else None,
                proxies=proxies,
                resources=tuple(sorted(listener.serves)),
            )
            router = self.router_of(listener.serves)
            self._listeners.start(opened, HttpServer(router=router, reactor=self.core.reactor, proxies=proxies))

    def router_of(self, names: frozenset[str]) -> Router:
        """What a listener serves, by the names of its resources. Every one says whether the server is alive."""
        router = Router(authenticate=self.users.authenticator, observer=RequestMetrics(self.core.metrics))
        for api in self._apis.client if "client" in names else [HealthApi()]:
            router.add(api)
        if "federation" in names:
            for api in self._apis.federation:
                router.add(api, authenticate=self.federation.authenticator)
        if names & {"federation", "keys"}:
            for api in self._apis.keys:
                router.add(api)
        if "metrics" in names:
            router.add(MetricsApi(metrics=self.core.metrics))
        return router

    def reload(self) -> None:
        """Takes up renewed certificates and registrations; what has a fault is logged, and the old one stays."""
        self._listeners.reload_certificates()
        self.appservices.sources.read_files_again()

    async def stop(self) -> None:
        """Answers what waits, ends background work, commits what was begun, closes the database."""
        await self._listeners.stop(DRAIN_S, tell_waiting=self._syncing.notifier.close)
        self.appservices.finish()
        await self.core.tasks.stop(TASKS_S)
        await self.users.last_seen.flush()
        await self.media.repository.write_accesses()
        await self.media.close()
        await self._pushing.stop()
        await self.sending.sender.stop()
        await self.federation.stop()
        await self.appservices.stop()
        self.close()

    def close(self) -> None:
        """Without waiting for requests: there are none, or they are lost."""
        self._syncing.notifier.close()
        self._pushing.close()
        self.appservices.close()
        self.sending.sender.close()
        self.rooms.typing.stop()
        self.core.storage.close()
        if self.postgres is not None:
            self.postgres.stop()


async def build(config: Config, reactor: Any) -> Server:
    """The server of a configuration, its database migrated and open.

    Raises: what hinders it: psycopg2.OperationalError, MigrationFault, ConfigFault, OSError.
    """
    config.data_directory.mkdir(parents=True, exist_ok=True)
    take_up(config.signing_key_path, int(reactor.seconds() * 1000))
    key = read_or_make(config.signing_key_path)[0]
    postgres = None if config.database.dsn is not None else EmbeddedPostgres(config.postgres_path)
    try:
        server = await assemble(_open_core(config, reactor, postgres, key))
    except BaseException:
        if postgres is not None:
            postgres.stop()
        raise
    server.postgres = postgres
    if postgres is not None:
        watch(server.core, postgres)
    return server


def _open_core(config: Config, reactor: Any, postgres: EmbeddedPostgres | None, key: SigningKey) -> Core:
    dsn = config.database.dsn if postgres is None else postgres.dsn
    assert dsn is not None
    prepare(dsn)
    clock, metrics = Clock(reactor, monotonic=time.monotonic), Metrics()
    return Core(
        config=config,
        reactor=reactor,
        storage=open_storage(dsn, reactor=reactor),
        clock=clock,
        tasks=Tasks(clock=clock, metrics=metrics),
        metrics=metrics,
        signer=Signer(server_name=config.server.server_name, key=key),
    )


async def assemble(core: Core) -> Server:
    """All parts over a storage that is open."""
    config = core.config
    federation = await build_federation(core)
    rooms = build_rooms(core, federation)
    hosts, acls = build_hosts(core, rooms), build_acls(core, rooms)
    policies = build_policies(core, rooms, federation, hosts, acls)
    settings, pushers = user_settings(config), build_pushers(core)
    # A profile is in the member events of its user's rooms: the hooks reach forward to what is built next.
    hooks = UserHooks(
        profile_changed=lambda user_id: changes.user_rooms.update_profile(user_id),
        deactivated=lambda user_id: changes.user_rooms.leave_all(user_id),
        backups_deleted=lambda user_id: encryption.backups.delete_all(user_id),
        registered=lambda user_id: welcome(user_id),
        check_avatar=build_avatar_rules(core).check,
        address_removed=pushers.end_mails,
        push_rules_of=rooms.push_rules.client_form,
        share_a_room=rooms.members.share_a_room,
        remote_profile=RemoteProfiles(elsewhere=federation.client, clock=core.clock).of,
        appservice_asks=lambda service_id: appservices.senders.wake(service_id),
    )
    registry = Registry()
    users = build_users(core, settings, hooks, registry)
    queries = build_appservice_queries(core, registry, users)
    reservations = AliasReservations(registry=registry, ask=queries.aliases.ask)
    changes = build_room_changes(core, rooms, users, federation, reservations, queries.users)
    welcome = build_welcome(core, users, changes, pushers)
    build_auto_accept(core, rooms, changes)
    encryption = build_encryption(core, rooms, federation.client, queries.keys, hosts)
    media = build_media(core, client=federation.client)
    older = build_backfill(core, federation, rooms.remote, heads=rooms.heads, intake=rooms.intake, hosts=hosts)
    reading = build_reading(core, users, rooms, federation, older=older, hosts=hosts)
    pushing = build_push(core, users, rooms)
    syncing = build_sync(core, users, rooms, encryption, reading.bundles)
    client_apis = [
        VersionsApi(
            unstable_features=UNSTABLE_FEATURES,
            well_known=WellKnown(
                client=config.server.well_known_client(config.base_url),
                server={"m.server": f"{core.server_name}:443"} if config.server.serve_server_wellknown else None,
                support=config.server.well_known_support(),
            ),
        ),
        SetupPage(
            first_user=users.first_user,
            server_name=core.server_name,
            base_url=config.server.public_baseurl,
        ),
        HealthApi(),
        VoipApi(calls=config.calls, clock=core.clock),
        *policies.apis(),
        FrontDoorApi(web_client=config.server.web_client_location),
        *user_apis(core, users, settings, queries.users.appear),
        *encryption_apis(core, encryption, users),
        *room_change_apis(core, rooms, changes, federation),
        *reading_apis(core, rooms, reading),
        *media_apis(core, media),
        *sync_apis(core, users, rooms, syncing),
        *old_sync_apis(core, rooms, changes, reading, syncing),
        *push_apis(core, users, rooms, reading, pushing),
        *feature_apis(core, users, rooms),
        batch_send_api(core, registry, users, rooms, changes),
        *appservice_query_apis(queries, registry, hooks.appservice_asks),
        *await notice_apis(core, users, rooms, changes),
    ]
    await rooms.presence.load()
    await rooms.remote.completion.resume()
    appservices = await build_appservices(core, registry, users, rooms, queries)
    start_upkeep(core, users)
    sending = build_sending(core, federation, hosts)
    for_servers = ForServers(
        core=core,
        rooms=rooms,
        changes=changes,
        users=users,
        appear=queries.users.appear,
        federation=federation,
        hosts=hosts,
        acls=acls,
        turns=build_turns(core),
    )
    apis = Apis(
        client=client_apis,
        federation=[
            *federation_apis(core, federation),
            *for_servers.apis(),
            *transaction_apis(
                core,
                rooms,
                encryption,
                hosts=hosts,
                acls=acls,
                turns=build_turns(core),
                door=build_door(core, rooms, changes.remote, hosts),
            ),
            *policies.apis_for_servers(build_turns(core)),
            *encryption_apis_for_servers(encryption, for_servers.turns),
            *media_apis_for_servers(core, media),
        ],
        keys=key_apis(core, federation),
    )
    return Server(
        core=core,
        users=users,
        rooms=rooms,
        media=media,
        appservices=appservices,
        outgoing=Outgoing(syncing=syncing, pushing=pushing, federation=federation, sending=sending),
        apis=apis,
    )
