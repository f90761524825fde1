"""A bridge, wired: the composition root of the process, from the bottom up."""

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from appservice.bridges.core.appservice_api import AppserviceApi, MetricsApi
from appservice.bridges.core.authors import Authors
from appservice.bridges.core.bridge import Handling, RunningBridge
from appservice.bridges.core.bridging import Bridging
from appservice.bridges.core.chats import Chats
from appservice.bridges.core.commands import Commands
from appservice.bridges.core.context import Context
from appservice.bridges.core.faces import Faces
from appservice.bridges.core.history import History
from appservice.bridges.core.inbox import Inbox
from appservice.bridges.core.logging_in import LoggingIn
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.matrix_client import Actor, MatrixClient
from appservice.bridges.core.matrix_events import Brought, MatrixEvents
from appservice.bridges.core.media import Media
from appservice.bridges.core.members import Members
from appservice.bridges.core.message_map import MessageMap
from appservice.bridges.core.messages_in import MessagesIn
from appservice.bridges.core.messages_out import MessagesOut
from appservice.bridges.core.names import Template
from appservice.bridges.core.network import Network
from appservice.bridges.core.network_events import NetworkEvents, Shown
from appservice.bridges.core.notices import Notices
from appservice.bridges.core.older import Older
from appservice.bridges.core.packs import Packs
from appservice.bridges.core.passing import Passing
from appservice.bridges.core.people import People
from appservice.bridges.core.pins_in import PinsIn
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.provisioning_api import ProvisioningApi
from appservice.bridges.core.reactions_in import ReactionsIn
from appservice.bridges.core.reactions_out import ReactionsOut
from appservice.bridges.core.references import References
from appservice.bridges.core.rooms import BEGINNING, MAKING, Rooms
from appservice.bridges.core.settings import BridgeSettings
from appservice.bridges.core.spaces import Spaces
from appservice.bridges.core.spools import Spools
from appservice.bridges.core.starting import Starting
from appservice.bridges.core.state_out import StateOut
from appservice.bridges.core.status import Status
from appservice.bridges.core.third_party_api import ThirdPartyApi
from appservice.bridges.core.turns import Turns
from appservice.bridges.core.wire import Wire
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from homeserver.web.router import Router
from matrix.ids import UserId
from storage.bridges_inbox import OWN, Accepted
from storage.bridges_store import Store
from storage.database import Database


@frozen(kw_only=True)
class World:
    """What the process has: see process.py; tests have another."""

    reactor: IReactorTime
    database: Database
    wire: Wire
    clock: Clock
    tasks: Tasks
    metrics: Metrics


class Assembled:
    """All parts of a bridge. `load` it, then let it listen and start the network."""

    def __init__(self, settings: BridgeSettings, network: Network, world: World) -> None:
        self.context = context = _context(settings, network, world)
        spools = Spools(
            max_bytes=settings.media.max_size,
            memory_bytes=settings.media.memory,
            directory=settings.temporary_directory,
        )
        self.faces = Faces(context=context, spools=spools)
        self.media = Media(context=context, spools=spools)
        self.logins = Logins(context=context)
        self.portals = Portals(context=context)
        self.notices = Notices(context=context)
        self.spaces = Spaces(context=context, media=self.media)
        self.status = Status(context=context, portals=self.portals, logins=self.logins)
        self.people = People(context=context, media=self.media, logins=self.logins)
        self.authors = Authors(context=context, logins=self.logins, faces=self.faces)
        self.message_map = MessageMap(context=context)
        self.references = References(
            context=context, people=self.people, portals=self.portals, logins=self.logins, media=self.media
        )
        self.members = Members(context=context, portals=self.portals, people=self.people, logins=self.logins)
        self.rooms = Rooms(
            context=context,
            portals=self.portals,
            people=self.people,
            members=self.members,
            spaces=self.spaces,
            media=self.media,
            logins=self.logins,
        )
        self.packs = Packs(context=context, spaces=self.spaces, references=self.references)
        self._wire_inbox(world)

    def _wire_inbox(self, world: World) -> None:
        """What comes in, and whoever handles it: the handlers know the inbox, and it knows them by one function."""
        context, turns = self.context, Turns()
        shown = self._shown(turns)
        self.inbox = Inbox(
            store=context.store,
            clock=world.clock,
            tasks=world.tasks,
            metrics=world.metrics,
            turns=turns,
            handle=lambda item: self.handling.handle(item),
            give_up=lambda item, error: self.handling.give_up(item, error),
        )
        passing = Passing(
            context=context,
            portals=self.portals,
            people=self.people,
            logins=self.logins,
            authors=self.authors,
            message_map=self.message_map,
        )
        self.bridge = RunningBridge(
            context=context,
            inbox=self.inbox,
            portals=self.portals,
            logins=self.logins,
            notices=self.notices,
            status=self.status,
            passing=passing,
        )
        self.bridge.use(self.references, self.message_map, shown.history)
        self._wire_people_facing_parts()
        self.handling = Handling(
            context=context,
            portals=self.portals,
            logins=self.logins,
            notices=self.notices,
            history=shown.history,
            network_events=NetworkEvents(context=context, shown=shown),
            matrix_events=MatrixEvents(context=context, brought=self._brought(shown)),
        )

    def _wire_people_facing_parts(self) -> None:
        context = self.context
        self.chats = Chats(
            context=context,
            portals=self.portals,
            people=self.people,
            rooms=self.rooms,
            logins=self.logins,
            authors=self.authors,
            notices=self.notices,
        )
        self.starting = Starting(context=context, chats=self.chats, packs=self.packs)
        self.logging_in = LoggingIn(context=context, logins=self.logins, members=self.members)
        self.bridging = Bridging(
            context=context,
            portals=self.portals,
            rooms=self.rooms,
            spaces=self.spaces,
            authors=self.authors,
            logins=self.logins,
            inbox=self.inbox,
        )

    def _shown(self, turns: Turns) -> Shown:
        context = self.context
        messages = MessagesIn(
            context=context,
            portals=self.portals,
            people=self.people,
            logins=self.logins,
            media=self.media,
            message_map=self.message_map,
        )
        reactions = ReactionsIn(
            context=context,
            portals=self.portals,
            people=self.people,
            message_map=self.message_map,
            references=self.references,
        )
        pins = PinsIn(
            context=context,
            portals=self.portals,
            people=self.people,
            logins=self.logins,
            message_map=self.message_map,
        )
        history = History(
            context=context,
            turns=turns,
            message_map=self.message_map,
            messages_in=messages,
            reactions_in=reactions,
            notices=self.notices,
        )
        return Shown(
            portals=self.portals,
            rooms=self.rooms,
            people=self.people,
            members=self.members,
            messages=messages,
            reactions=reactions,
            pins=pins,
            history=history,
            older=Older(
                context=context,
                turns=turns,
                people=self.people,
                message_map=self.message_map,
                messages_in=messages,
            ),
            spaces=self.spaces,
            packs=self.packs,
            notices=self.notices,
        )

    def _brought(self, shown: Shown) -> Brought:
        context = self.context
        messages = MessagesOut(
            context=context,
            message_map=self.message_map,
            authors=self.authors,
            references=self.references,
            media=self.media,
            messages_in=shown.messages,
        )
        state = StateOut(
            context=context,
            portals=self.portals,
            people=self.people,
            members=self.members,
            logins=self.logins,
            authors=self.authors,
            message_map=self.message_map,
        )
        commands = Commands(
            context=context,
            notices=self.notices,
            logging_in=self.logging_in,
            bridging=self.bridging,
            starting=self.starting,
            status=self.status,
            portals=self.portals,
        )
        return Brought(
            portals=self.portals,
            authors=self.authors,
            messages=messages,
            message_map=self.message_map,
            reactions=ReactionsOut(context=context, message_map=self.message_map, authors=self.authors),
            state=state,
            media=self.media,
            notices=self.notices,
            commands=commands,
            chats=self.chats,
        )

    def router(self) -> Router:
        """All that the bridge answers."""
        context, router = self.context, Router()
        api = AppserviceApi(context=context, bridge=self.bridge, people=self.people, bridging=self.bridging)
        router.add(api, authenticate=api.authenticate)
        third_party = ThirdPartyApi(context=context, portals=self.portals, people=self.people)
        router.add(third_party, authenticate=api.authenticate)
        provisioning = ProvisioningApi(
            context=context,
            logins=self.logins,
            logging_in=self.logging_in,
            bridging=self.bridging,
            starting=self.starting,
            status=self.status,
            portals=self.portals,
        )
        router.add(provisioning, authenticate=provisioning.authenticate)
        router.add(self.faces.api())
        router.add(MetricsApi(context.metrics))
        for each in context.network.routes():
            router.add(each)
        return router

    async def load(self) -> None:
        """What the tables hold."""
        for part in (self.logins, self.portals, self.spaces, self.notices):
            await part.load()

    async def start(self) -> None:
        """Goes on with what waits, and connects."""
        await self.context.network.start(self.bridge, self.logins.all())
        unfinished = [each.channel_id for each in self.portals.all() if {MAKING, BEGINNING} & each.shown.keys()]
        await self.inbox.accept([Accepted(queue=each, source=OWN, payload={"task": "begin"}) for each in unfinished])
        await self.inbox.start()

    async def stop(self) -> None:
        """Accepts nothing more from the network; what runs may end."""
        self.inbox.stop()
        await self.context.network.stop()


def _context(settings: BridgeSettings, network: Network, world: World) -> Context:
    options, server_name = settings.appservice, settings.homeserver.server_name
    matrix = MatrixClient(wire=world.wire, clock=world.clock, metrics=world.metrics, server_name=server_name)
    return Context(
        settings=settings,
        network=network,
        store=Store(world.database, options.id),
        matrix=matrix,
        clock=world.clock,
        tasks=world.tasks,
        metrics=world.metrics,
        bot=Actor(UserId(f"@{options.bot}:{server_name}"), options.as_token),
        users=Template("@", options.users, server_name),
        aliases=Template("#", options.aliases, server_name),
    )
