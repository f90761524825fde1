"""Policy servers, wired: asking those of rooms, and being one."""

import re
from collections.abc import Sequence

from attrs import frozen

from federation.inbound.policy import PolicySignApi
from homeserver.app.core import Core
from homeserver.app.federation import Federation
from homeserver.app.rooms import Rooms
from homeserver.app.settings import Limits
from homeserver.client_api.policy_server import PolicyServerApi
from homeserver.runtime.turns import Turns
from homeserver.services.policy_rules import PolicyRules, glob_matchers, words_pattern
from homeserver.services.policy_server import PolicyServer, PolicySettings
from homeserver.services.rooms.for_servers.acls import ServerAcls
from homeserver.services.rooms.hosts import Hosts
from homeserver.services.rooms.policing import Policing, PolicingParts
from matrix.policy_server import KEY_VERSION
from matrix.signing import SigningKey
from synapse_like_config.signing_key_file import read_or_make


@frozen(kw_only=True)
class Policies:
    """`server` is None where this server is no policy server."""

    server: PolicyServer | None

    def apis(self) -> Sequence[object]:
        return [PolicyServerApi(public_keys=None if self.server is None else self.server.public_keys)]

    def apis_for_servers(self, turns: Turns) -> Sequence[object]:
        return [] if self.server is None else [PolicySignApi(turns=turns, policy_server=self.server)]


def build_policies(core: Core, rooms: Rooms, federation: Federation, hosts: Hosts, acls: ServerAcls) -> Policies:
    """From here on events are not sent or taken without the word of their room's policy server."""
    server = _policy_server(core, rooms, acls)
    policing = Policing(
        PolicingParts(
            heads=rooms.heads,
            intake=rooms.intake,
            receiver=rooms.remote.receiver,
            client=federation.client,
            hosts_of=hosts.in_room,
        ),
        own=server,
        server_name=core.server_name,
        clock=core.clock,
    )
    rooms.intake.policing = policing
    rooms.remote.receiver.check_policy = policing.check
    return Policies(server=server)


def _policy_server(core: Core, rooms: Rooms, acls: ServerAcls) -> PolicyServer | None:
    options = core.config.policies.policy_server
    if not options.enabled:
        return None
    rate = options.events_per_user
    return PolicyServer(
        settings=PolicySettings(
            rules=PolicyRules(
                blocked_servers=glob_matchers(options.blocked_servers),
                blocked_users=glob_matchers(options.blocked_users),
                exempt_users=glob_matchers(options.exempt_users),
                blocked_types=frozenset(options.blocked_types),
                words=words_pattern(options.blocked_words),
                patterns=tuple(re.compile(pattern) for pattern in options.blocked_patterns),
                max_mentions=options.max_mentions,
                blocks_room_mentions=options.block_room_mentions,
                reason=options.blocked_message,
            ),
            rooms=None if options.rooms is None else glob_matchers(options.rooms),
            exempt_level=options.exempt_power_level,
            limit=None if rate is None else Limits(core.clock).make(rate),
        ),
        key=_key(core),
        server_name=core.server_name,
        heads=rooms.heads,
        members=rooms.members,
        may_act=acls.may_act,
        metrics=core.metrics,
    )


def _key(core: Core) -> SigningKey:
    """In the file it has a name of its own; for rooms all such keys have the same one. Raises: ConfigFault."""
    path = core.config.policies.policy_server.signing_key_path or core.config.data_directory / "policy.key"
    return read_or_make(path)[0].renamed(KEY_VERSION)
