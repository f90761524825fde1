"""The whole configuration."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs
from attrs import frozen

from synapse_like_config.load import ConfigFault, read_tree
from synapse_like_config.not_yet import NOT_YET, WARNING
from synapse_like_config.reading import Report, keys_of, read_section, section
from synapse_like_config.sections.appservices import AppServices, Calls
from synapse_like_config.sections.database import Database
from synapse_like_config.sections.federation import Federation
from synapse_like_config.sections.keys import Keys
from synapse_like_config.sections.listeners import Listeners
from synapse_like_config.sections.logging import Logging
from synapse_like_config.sections.login import Login
from synapse_like_config.sections.media import Media
from synapse_like_config.sections.policy import Policies
from synapse_like_config.sections.push import Notifications
from synapse_like_config.sections.ratelimits import RateLimits
from synapse_like_config.sections.registration import Registration
from synapse_like_config.sections.rooms import Rooms
from synapse_like_config.sections.server import Server
from synapse_like_config.sections.users import Users
from synapse_like_config.synapse_options import MEANINGLESS


@frozen
class Sections:
    """Every option, by topic, in the order of the generated file."""

    server: Server = section(Server, "The server")
    listeners: Listeners = section(Listeners, "Where it listens")
    database: Database = section(Database, "The database")
    logging: Logging = section(Logging, "Logs and metrics")
    registration: Registration = section(Registration, "New accounts")
    login: Login = section(Login, "Signing in")
    users: Users = section(Users, "Profiles and the user directory")
    rooms: Rooms = section(Rooms, "Rooms and their directory")
    media: Media = section(Media, "Files and previews")
    notifications: Notifications = section(Notifications, "Push and e-mail")
    federation: Federation = section(Federation, "Other servers")
    keys: Keys = section(Keys, "Keys and secrets")
    ratelimits: RateLimits = section(RateLimits, "Rate limits")
    policies: Policies = section(Policies, "Policies of rooms")
    appservices: AppServices = section(AppServices, "Bridges")
    calls: Calls = section(Calls, "Calls")


@frozen
class Config(Sections):
    """The configuration of a server. Sections take their part of it; nothing gets the whole but the composition root.

    `warnings` are for the log: options that Hearth does not have.
    """

    data_directory: Path = attrs.field(factory=lambda: Path("data").absolute())
    warnings: tuple[str, ...] = attrs.field(default=(), eq=False)

    @classmethod
    def load(cls, files: Sequence[Path], *, environ: Mapping[str, str], data_directory: Path) -> "Config":
        """The configuration of these files and directories of files; of none, the default.

        Files are laid over one another, the later one winning, key by key at the top as in Synapse; over them goes the
        environment (see `load`). Every relative path is from the current directory.

        Raises: ConfigFault, with all that is wrong.
        """
        tree, origins = read_tree(files, environ)
        report = Report(origins)
        if files and tree.get("server_name") is None:
            report.fault("server_name", "must be given: what stands after the colon in user ids")
        sections = {f.name: read_section(f.metadata["of"], tree, report) for f in attrs.fields(Sections)}
        known = [key for f in attrs.fields(Sections) for key in keys_of(f.metadata["of"])]
        for key in tree:
            if key in NOT_YET:
                if _is_set(sections.values(), key):
                    report.warn(key, WARNING)
            elif key not in known and key not in MEANINGLESS:
                report.unknown("", key, known)
        if report.faults:
            raise ConfigFault(report.faults)
        config = cls(**sections, data_directory=data_directory.absolute(), warnings=tuple(report.warnings))
        return config._with_key_beside(files)

    def _with_key_beside(self, files: Sequence[Path]) -> "Config":
        """Where Synapse looks for the signing key if its path is not given: in the directory of the configuration."""
        if self.keys.signing_key_path is not None or not files:
            return self
        directory = files[0] if files[0].is_dir() else files[0].parent
        beside = directory.absolute() / f"{self.server.server_name}.signing.key"
        return attrs.evolve(self, keys=attrs.evolve(self.keys, signing_key_path=beside)) if beside.exists() else self

    @classmethod
    def default(cls, data_directory: Path | None = None) -> "Config":
        """A server named localhost for this machine, with a PostgreSQL of its own, closed to registration."""
        return cls() if data_directory is None else cls(data_directory=data_directory)

    @property
    def signing_key_path(self) -> Path:
        named = self.keys.signing_key_path
        return named or self.data_directory / f"{self.server.server_name}.signing.key"

    @property
    def media_path(self) -> Path:
        return self.media.media_store_path or self.data_directory / "media"

    @property
    def postgres_path(self) -> Path:
        """The directory of the PostgreSQL of our own, if the database is none of the operator's."""
        return self.data_directory / "postgres"

    @property
    def base_url(self) -> str:
        """By which clients reach the server, without a slash at its end."""
        return self.server.public_baseurl or f"https://{self.server.server_name}"


def _is_set(sections: Iterable[object], key: str) -> bool:
    """Is the option otherwise than by default?"""
    return any(hasattr(each, key) and getattr(each, key) != getattr(type(each)(), key) for each in sections)
