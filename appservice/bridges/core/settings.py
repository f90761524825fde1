"""bridge.yaml: what core needs to know. The network's own options stand below the network's name."""

import re
from pathlib import Path
from typing import Literal

from attrs import frozen

from matrix.ids import ServerName
from synapse_like_config.reading import option, required, section
from synapse_like_config.sections.database import DatabaseOptions
from synapse_like_config.units import BadValue, BaseUrl, Bytes

_LOCALPART = re.compile(r"[a-z0-9._=/+-]*\{\}[a-z0-9._=/+-]*")
Level = Literal["none", "relay", "user", "admin"]


@frozen(kw_only=True)
class HomeserverOptions:
    """The homeserver."""

    server_name: ServerName = required("What stands after the colon in user ids.")
    address: BaseUrl = option(BaseUrl("http://localhost:8008"), "Where the bridge reaches the homeserver.")
    data: Path | None = option(
        None, "The data directory of a Hearth on this machine, whose own PostgreSQL is used if `database` names none."
    )


@frozen(kw_only=True)
class AppserviceOptions:
    """The bridge as an application service: what stands in its registration too."""

    id: str = required("The id of the registration. It marks all that the bridge stores: it cannot change.")
    as_token: str = option("", "The token by which the homeserver knows the bridge.", secret=True)
    hs_token: str = option("", "The token by which the bridge knows the homeserver.", secret=True)
    puppet_token: str | None = option(
        None,
        "The as_token of the second registration, by which the bridge acts as users who have signed in.",
        secret=True,
    )
    bot: str = required("The local part of the bot's user id.")
    bot_name: str | None = option(None, "The bot's display name.")
    users: str = required("The local parts of ghosts; {} stands for the id on the network.")
    aliases: str = required("The local parts of room aliases; {} stands for the id on the network.")
    port: int = option(29300, "Where the bridge listens for the homeserver.")
    bind_addresses: tuple[str, ...] = option(("127.0.0.1",), "On which addresses it listens.")

    def check(self) -> None:
        for key in ("as_token", "hs_token"):
            if not getattr(self, key):
                raise BadValue("must be given", key=key)
        for key in ("users", "aliases"):
            if not _LOCALPART.fullmatch(getattr(self, key)):
                raise BadValue("must hold {} once, and else only a-z, 0-9 and ._=/+-", key=key)
        if not 0 < self.port < 65536:
            raise BadValue("must be a port", key="port")


@frozen(kw_only=True)
class PublicOptions:
    """What the outer world reaches of the bridge: the faces of relayed users, and what the network calls."""

    address: BaseUrl | None = option(
        None,
        "The https address under which the paths /NAME/ of the bridge are reached. Without it nobody has a face.",
    )
    secret: str = option("", "Signs the addresses of faces.", secret=True)


@frozen(kw_only=True)
class ProvisioningOptions:
    """The provisioning API."""

    shared_secret: str | None = option(None, "The Bearer token of the API. Without it there is no API.", secret=True)


@frozen(kw_only=True)
class PortalOptions:
    """Which rooms there are, and how they look."""

    create: Literal["asked", "seen"] = option(
        "seen", "When a channel gets a room: when somebody asks for it, or as soon as something is seen of it."
    )
    public: bool = option(
        True, "Whether rooms of public channels can be joined by everybody, and are in the directory."
    )
    federate: bool = option(True, "Whether users of other servers can join.")
    name: str = option("{}", "The name of a room; {} stands for the channel's.")
    max_members: int = option(200, "How many members of a channel join its room before they write.")
    relay: bool = option(True, "Whether messages of users without a login are relayed under their names.")
    relay_name: str = option("{}", "The name under which a user is relayed; {} stands for the display name.")


@frozen(kw_only=True)
class BackfillOptions:
    """Messages of before, and of while the bridge was down."""

    initial: int = option(50, "How many of the newest messages a new room begins with.")
    catch_up: int | None = option(
        None,
        "How many messages at most are made up for in a channel, after a time without connection; null: all of them.",
    )
    look_back: int = option(
        30, "How many known messages are looked at again then: they may have been edited or deleted."
    )


@frozen(kw_only=True)
class MediaOptions:
    """Files."""

    max_size: Bytes = option(Bytes(100 * 1024 * 1024), "Larger files are not copied; a message says so.")
    memory: Bytes = option(Bytes(1024 * 1024), "Up to this size a file is held in memory while it is copied.")


@frozen(kw_only=True)
class LogOptions:
    """Logs."""

    log_config: Path | None = option(None, "A file of Python's logging, as Synapse has it.")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = option("INFO", "Without such a file: what is logged.")


@frozen(kw_only=True)
class BridgeSettings:
    """All but the network's own."""

    homeserver: HomeserverOptions = required("The homeserver")
    appservice: AppserviceOptions = required("The bridge as an application service")
    database: DatabaseOptions = section(DatabaseOptions, "PostgreSQL, best that of the homeserver.")
    public: PublicOptions = section(PublicOptions, "What the outer world reaches")
    provisioning: ProvisioningOptions = section(ProvisioningOptions, "The provisioning API")
    portals: PortalOptions = section(PortalOptions, "Rooms")
    backfill: BackfillOptions = section(BackfillOptions, "History")
    media: MediaOptions = section(MediaOptions, "Files")
    logging: LogOptions = section(LogOptions, "Logs")
    permissions: dict[str, Level] = option(
        {"*": "relay"},
        "Who may do what, by user id, server name or *: none, relay (their messages are relayed), user (they may sign"
        " in and bridge rooms that are theirs), admin (everything).",
    )
    double_puppets: bool = option(True, "Whether what users who have signed in do on the network is shown as theirs.")
    temporary_directory: Path | None = option(None, "Where larger files are held while they are copied.")

    def level_of(self, user_id: str) -> Level:
        """The most particular entry counts."""
        server = user_id.partition(":")[2]
        for key in (user_id, server, "*"):
            if key in self.permissions:
                return self.permissions[key]
        return "none"
