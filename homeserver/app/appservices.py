"""Bridges and other application services, wired: who they are, and what this server does for them."""

from attrs import frozen

from appservice.registration import BadRegistration
from appservice.registry import Registry
from appservice.sender import Senders
from appservice.sources import Sources
from homeserver.app.appservice_queries import AppserviceQueries
from homeserver.app.appservice_sending import build_senders
from homeserver.app.core import Core
from homeserver.app.rooms import Rooms
from homeserver.app.users import Users
from homeserver.web.agent import OutgoingHttp
from storage import appservice_queue
from synapse_like_config import ConfigFault


@frozen(kw_only=True)
class Appservices:
    """`sources` keeps the registry true."""

    registry: Registry
    sources: Sources
    senders: Senders
    http: OutgoingHttp

    def finish(self) -> None:
        """What services are being told may end; nothing else is begun."""
        self.senders.finish()

    async def stop(self) -> None:
        await self.senders.stop()
        await self.http.close()

    def close(self) -> None:
        self.senders.close()


async def build_appservices(
    core: Core, registry: Registry, users: Users, rooms: Rooms, queries: AppserviceQueries
) -> Appservices:
    """Takes up the registrations, and makes each service's own user. Raises: ConfigFault."""

    async def begin() -> None:
        # Whoever takes up a queue, and when: what happens from here on is told.
        told = [service.id for service in registry.all if service.url is not None]
        if told:
            await core.storage.database.run(appservice_queue.begin, told, core.clock.now_ms())
        for service in registry.all:
            await users.registration.make_sender(service)

    sources = Sources(
        registry=registry,
        database=core.storage.database,
        tasks=core.tasks,
        server_name=core.server_name,
        files=core.config.appservices.app_service_config_files,
        on_load=begin,
    )
    core.storage.read_by(sources.read_stream)
    try:
        await sources.load()
    except BadRegistration as error:
        raise ConfigFault(error.faults) from error
    senders = build_senders(core, registry, rooms, queries.client)
    senders.start()
    return Appservices(registry=registry, sources=sources, senders=senders, http=queries.http)
