"""Other servers, wired: asking them, and answering them."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.internet.threads import deferToThreadPool

from federation.inbound.authenticate import ServerAuthenticator
from federation.inbound.keys import ServerKeysApi
from federation.inbound.version import ServerVersionApi
from federation.outbound.client import FederationClient
from federation.outbound.destinations import BackOff, Destinations, quick_pauses
from federation.outbound.https import HttpsWire
from federation.outbound.key_fetch import KeyFetch, Notary
from federation.outbound.keys import ServerKeys
from federation.outbound.names import NamesReactor
from federation.outbound.notary import NotaryAnswers
from federation.outbound.own_keys import OwnKeys
from federation.outbound.resolve import Resolver
from federation.outbound.srv import Srv, SystemDns
from federation.outbound.tls import ClientTls, TlsSettings, WellKnownPolicy
from federation.outbound.transport import Rules, Transport
from federation.outbound.well_known import WellKnown
from federation.outbound.wire import Wire
from homeserver.app.core import Core
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import OutgoingHttp
from matrix.server_keys import OldKey
from matrix.signing import SigningKey, verify_key_from_base64
from synapse_like_config import Config
from synapse_like_config.sections.keys import TrustedKeyServer
from synapse_like_config.signing_key_file import read_or_make
from synapse_like_config.signing_key_rotation import read_retired

# The default, for which the time-outs of single requests are made.
USUAL_CLIENT_TIMEOUT_MS = 60_000
# A server that does not answer is tried at least every hour, whatever the configuration says.
LONGEST_PAUSE_MS = 3_600_000


@frozen(kw_only=True)
class Federation:
    wire: Wire
    destinations: Destinations
    transport: Transport
    own_keys: OwnKeys
    keys: ServerKeys
    client: FederationClient
    authenticator: ServerAuthenticator

    async def stop(self) -> None:
        """Writes what was not yet, and closes connections."""
        await self.destinations.write()
        await self.wire.close()


async def build_federation(core: Core) -> Federation:
    database, config = core.storage.database, core.config
    wire = core.wire or build_wire(config, core.reactor, core.clock, core.metrics)
    destinations = Destinations(
        database=database,
        commit=core.storage.committer,
        clock=core.clock,
        tasks=core.tasks,
        metrics=core.metrics,
        back_off=_back_off(core),
    )
    await destinations.load()
    core.storage.read_by(destinations.read_stream)
    transport = Transport(
        wire=wire,
        destinations=destinations,
        clock=core.clock,
        server_name=core.server_name,
        key=core.signer.key,
        rules=_rules(config),
        metrics=core.metrics,
    )
    own_keys = OwnKeys(
        server_name=core.server_name,
        keys=_keys_in_use(core),
        old=_old_keys(config),
        valid_ms=config.keys.key_refresh_interval,
    )
    keys = ServerKeys(
        database=database,
        fetch=KeyFetch(transport=transport, clock=core.clock, notaries=_notaries(core)),
        own=own_keys,
        clock=core.clock,
        in_thread=lambda function: deferToThreadPool(core.reactor, core.reactor.getThreadPool(), function),
        metrics=core.metrics,
    )
    return Federation(
        wire=wire,
        destinations=destinations,
        transport=transport,
        own_keys=own_keys,
        keys=keys,
        client=FederationClient(transport=transport),
        authenticator=ServerAuthenticator(
            keys=keys,
            destinations=destinations,
            clock=core.clock,
            server_name=core.server_name,
            is_local=core.is_local,
            may_talk_to=config.federation.may_talk_to,
        ),
    )


def federation_apis(core: Core, federation: Federation) -> Sequence[object]:
    """What other servers ask; their authenticator is the federation's."""
    return [ServerVersionApi()]


def key_apis(core: Core, federation: Federation) -> Sequence[object]:
    """Also on listeners that serve only `keys`."""
    notary = NotaryAnswers(
        database=core.storage.database, keys=federation.keys, own=federation.own_keys, clock=core.clock
    )
    return [ServerKeysApi(own=federation.own_keys, notary=notary, clock=core.clock)]


def build_wire(config: Config, reactor: Any, clock: Clock, metrics: Metrics) -> HttpsWire:
    """The real network."""
    options, reactor = config.federation, NamesReactor(reactor)
    rules = AddressRules.parse(options.ip_range_blacklist, options.ip_range_whitelist)
    tls = ClientTls(
        TlsSettings(
            verifies=options.federation_verify_certificates,
            unverified=options.federation_certificate_verification_whitelist,
            authorities=options.federation_custom_ca_list,
            minimum_version=options.federation_client_minimum_tls_version,
        )
    )
    http = OutgoingHttp(reactor=reactor, rules=rules, policy=WellKnownPolicy(tls))
    return HttpsWire(
        reactor=reactor,
        clock=clock,
        resolver=Resolver(
            well_known=WellKnown(get=http.get, clock=clock), srv=Srv(ask=SystemDns(reactor), clock=clock)
        ),
        tls=tls,
        rules=rules,
        metrics=metrics,
        on_close=http.close,
    )


def _keys_in_use(core: Core) -> list[SigningKey]:
    """The key that signs, and what else is in its file: published, and good for whoever signs by them."""
    path, signer = core.config.signing_key_path, core.signer.key
    in_file = read_or_make(path) if path.exists() else []
    is_its_file = any(key.key_id == signer.key_id for key in in_file)
    return [signer, *(key for key in in_file if is_its_file and key.key_id != signer.key_id)]


def _old_keys(config: Config) -> dict[str, OldKey]:
    """Those that were rotated by us, and those that the configuration names."""
    retired = {key.key_id: OldKey(key.verify_key, key.expired_ms) for key in read_retired(config.signing_key_path)}
    named = {
        key_id: OldKey(verify_key_from_base64(old.key), old.expired_ts)
        for key_id, old in config.keys.old_signing_keys.items()
    }
    return {**retired, **named}


def _rules(config: Config) -> Rules:
    retries = config.federation.federation
    return Rules(
        may_talk_to=config.federation.may_talk_to,
        time_factor=max(1, retries.client_timeout) / USUAL_CLIENT_TIMEOUT_MS,
        retries=max(0, retries.max_short_retries),
        longest_pause_s=retries.max_short_retry_delay / 1000,
    )


def _back_off(core: Core) -> BackOff:
    retries = core.config.federation.federation
    longest_ms = min(LONGEST_PAUSE_MS, retries.destination_max_retry_interval)
    return BackOff(
        quick_ms=quick_pauses(retries.max_long_retries, retries.max_long_retry_delay),
        first_ms=min(retries.destination_min_retry_interval, longest_ms),
        factor=max(1.0, retries.destination_retry_multiplier),
        longest_ms=longest_ms,
    )


def _notaries(core: Core) -> tuple[Notary, ...]:
    servers = core.config.keys.trusted_key_servers
    return tuple(_notary(server) for server in servers if not core.is_local(server.server_name))


def _notary(server: TrustedKeyServer) -> Notary:
    keys: dict[str, Any] | None = server.verify_keys
    verify_keys = None if keys is None else {key_id: verify_key_from_base64(key) for key_id, key in keys.items()}
    return Notary(server_name=server.server_name, verify_keys=verify_keys)
