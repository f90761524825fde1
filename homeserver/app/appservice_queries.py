"""What application services are asked, wired: who and what is in their namespaces, networks, keys, pings."""

from collections.abc import Sequence

from attrs import frozen

from appservice.client import AppserviceClient
from appservice.registry import Registry
from homeserver.app.core import Core
from homeserver.app.users import Users
from homeserver.client_api.appservice_ping import AppservicePingApi
from homeserver.client_api.third_party_networks import ThirdPartyNetworksApi
from homeserver.services.appservices.aliases import AppserviceAliases
from homeserver.services.appservices.networks import Networks
from homeserver.services.appservices.ping import OnAnswer, Ping
from homeserver.services.appservices.users import AppserviceUsers
from homeserver.services.e2ee.appservice_keys import AppserviceKeys
from homeserver.services.e2ee.told_keys import ToldKeys
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import OutgoingHttp

# The administrator wrote the services' URLs: a bridge is usually on this machine.
_ALL_ADDRESSES = AddressRules(blocked=())


@frozen(kw_only=True)
class AppserviceQueries:
    http: OutgoingHttp
    client: AppserviceClient
    users: AppserviceUsers
    aliases: AppserviceAliases
    networks: Networks
    keys: AppserviceKeys


def build_appservice_queries(core: Core, registry: Registry, users: Users) -> AppserviceQueries:
    clock, tasks = core.clock, core.tasks
    http = OutgoingHttp(reactor=core.reactor, rules=_ALL_ADDRESSES)
    client = AppserviceClient(
        http=http, clock=clock, sends_query_token=core.config.appservices.use_appservice_legacy_authorization
    )
    return AppserviceQueries(
        http=http,
        client=client,
        users=AppserviceUsers(
            registry=registry, client=client, find_user=users.accounts.find, clock=clock, tasks=tasks
        ),
        aliases=AppserviceAliases(
            registry=registry, client=client, database=core.storage.database, clock=clock, tasks=tasks
        ),
        networks=Networks(registry=registry, client=client, clock=clock, tasks=tasks),
        keys=AppserviceKeys(
            registry=registry,
            client=client,
            told=ToldKeys(database=core.storage.database, commit=core.storage.committer, clock=clock),
            clock=clock,
        ),
    )


def appservice_query_apis(queries: AppserviceQueries, registry: Registry, on_answer: OnAnswer) -> Sequence[object]:
    """`on_answer`: told of each service that can be reached, by its id."""
    return [
        AppservicePingApi(ping=Ping(registry=registry, client=queries.client, on_answer=on_answer)),
        ThirdPartyNetworksApi(networks=queries.networks),
    ]
