"""A registration: what a bridge or another application service is, and whom it speaks for, from its YAML file.

Nothing here does I/O: the text comes from a file that the configuration names, or from the database.

Source: application service API, "Registration".
"""

import re
from ipaddress import ip_address, ip_network
from typing import Any, Self

import yaml
from attrs import field, frozen

from matrix.ids import MAX_BYTES, BadIdentifier, ServerName, UserId
from synapse_like_config.leaves import kind
from synapse_like_config.units import BadValue, Network, parse_base_url, parse_network

# A registration is written by hand or by a bridge's generator; the largest known has some hundred namespaces.
MAX_CHARACTERS = 1024 * 1024
_NOT_GIVEN = object()
_LOCALPART = re.compile(r"[!-9;-~]+")


class BadRegistration(ValueError):
    """The file will not do. `faults` are all that is wrong with it, each beginning with its key path."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@frozen
class Namespace:
    """A part of the ids that a service speaks for; an exclusive one is closed to everybody else."""

    pattern: re.Pattern[str]
    exclusive: bool

    def matches(self, text: str) -> bool:
        # As in Synapse the beginning must fit, the end need not: files rely on it.
        return self.pattern.match(text) is not None


@frozen(kw_only=True)
class Registration:
    """One application service. `url` None: it gets nothing and is asked nothing.

    `wants_encryption`: keys and devices in its transactions (MSC3202). `manages_devices`: it makes devices without
    logging in (MSC4190).
    """

    id: str
    url: str | None
    as_token: str = field(repr=False)
    hs_token: str = field(repr=False)
    sender: UserId
    users: tuple[Namespace, ...] = ()
    aliases: tuple[Namespace, ...] = ()
    rooms: tuple[Namespace, ...] = ()
    is_rate_limited: bool = True
    protocols: tuple[str, ...] = ()
    wants_ephemeral: bool = False
    wants_encryption: bool = False
    manages_devices: bool = False
    ip_range_whitelist: tuple[Network, ...] = ()

    @classmethod
    def read(cls, text: str, server_name: ServerName) -> Self:
        """The registration that a YAML file tells. Raises: BadRegistration, with all that is wrong."""
        reader = _Reader(_tree(text))
        as_token, sender = reader.text("as_token"), reader.sender("sender_localpart", server_name)
        namespaces = reader.namespaces()
        values: dict[str, Any] = {
            "id": reader.id("id"),
            "url": reader.url("url"),
            "as_token": as_token,
            "hs_token": reader.text("hs_token"),
            "sender": sender,
            **namespaces,
            "is_rate_limited": reader.flag("rate_limited", default=True),
            "protocols": reader.texts("protocols"),
            "wants_ephemeral": reader.flags("receive_ephemeral", "de.sorunome.msc2409.push_ephemeral"),
            "wants_encryption": reader.flag("org.matrix.msc3202"),
            "manages_devices": reader.flag("io.element.msc4190"),
            "ip_range_whitelist": reader.networks("ip_range_whitelist"),
        }
        if reader.faults:
            raise BadRegistration(reader.faults)
        return cls(**values)

    def admits(self, address: str) -> bool:
        """May the service's requests come from there?"""
        return not self.ip_range_whitelist or any(_lies_in(address, network) for network in self.ip_range_whitelist)

    def owns_user(self, user_id: str) -> bool:
        """May the service act as the user, and does it hear of what concerns them? Only users of this server."""
        if user_id == self.sender:
            return True
        return user_id.partition(":")[2] == self.sender.domain and _any(self.users, user_id)

    def owns_alias(self, alias: str) -> bool:
        return _any(self.aliases, alias)

    def owns_room_id(self, room_id: str) -> bool:
        return _any(self.rooms, room_id)

    def has_reserved_user(self, user_id: str) -> bool:
        """Is the user id the service's alone? Its own user is in any case."""
        return user_id == self.sender or _any(self.users, user_id, exclusive=True)

    def has_reserved_alias(self, alias: str) -> bool:
        return _any(self.aliases, alias, exclusive=True)


def _lies_in(address: str, network: str) -> bool:
    try:
        return ip_address(address) in ip_network(network)
    except ValueError:
        # A unix socket has no address.
        return False


def _any(namespaces: tuple[Namespace, ...], text: str, *, exclusive: bool = False) -> bool:
    return any(each.matches(text) and (each.exclusive or not exclusive) for each in namespaces)


def _tree(text: str) -> dict[str, Any]:
    """Raises: BadRegistration for what is no YAML mapping."""
    if len(text) > MAX_CHARACTERS:
        raise BadRegistration([f"the file is longer than {MAX_CHARACTERS} characters"])
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadRegistration([f"not YAML: {error}"]) from error
    if not isinstance(tree, dict):
        raise BadRegistration([f"must be a mapping of keys to values, not {kind(tree)}"])
    return tree


class _Reader:
    """Reads the keys one by one; what is wrong is gathered, so that all of it is told at once."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.faults: list[str] = []
        self._tree = tree

    def _fault(self, path: str, message: str) -> None:
        self.faults.append(f"{path}: {message}")

    def text(self, key: str) -> str:
        value = self._tree.get(key)
        if value is None or value == "":
            self._fault(key, "must be given")
        elif not isinstance(value, str):
            self._fault(key, f"must be a text, not {kind(value)}; put it in quotes")
        else:
            return value
        return ""

    def id(self, key: str) -> str:
        value = self.text(key)
        if "|" in value:
            self._fault(key, "must not contain |")
        return value

    def url(self, key: str) -> str | None:
        value = self._tree.get(key, _NOT_GIVEN)
        if value is _NOT_GIVEN:
            self._fault(key, "must be given: an address, or null for a service that is told nothing")
            return None
        if value is None or value == "":
            return None
        try:
            return parse_base_url(value)
        except BadValue as error:
            self._fault(key, str(error))
            return None

    def sender(self, key: str, server_name: ServerName) -> UserId:
        localpart = self.text(key)
        if localpart and (not _LOCALPART.fullmatch(localpart) or len(localpart) + len(server_name) + 2 > MAX_BYTES):
            self._fault(key, f"{localpart[:80]!r} is not the local part of a user id")
        try:
            return UserId.parse(f"@{localpart}:{server_name}")
        except BadIdentifier:
            return UserId("")

    def flag(self, key: str, *, default: bool = False) -> bool:
        value = self._tree.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._fault(key, f"must be true or false, not {value!r}")
            return default
        return value

    def flags(self, *keys: str) -> bool:
        """Is one of them set?"""
        return any([self.flag(key) for key in keys])

    def texts(self, key: str) -> tuple[str, ...]:
        texts = []
        for path, value in self._items(self._tree, key, key):
            if isinstance(value, str) and value:
                texts.append(value)
            else:
                self._fault(path, f"must be a text, not {kind(value)}")
        return tuple(texts)

    def networks(self, key: str) -> tuple[Network, ...]:
        networks = []
        for path, value in self._items(self._tree, key, key):
            try:
                networks.append(parse_network(value))
            except BadValue as error:
                self._fault(path, str(error))
        return tuple(networks)

    def namespaces(self) -> dict[str, tuple[Namespace, ...]]:
        tree = self._tree.get("namespaces")
        if not isinstance(tree, dict):
            told = "must be given" if tree is None else f"must be a mapping of keys to values, not {kind(tree)}"
            self._fault("namespaces", told)
            tree = {}
        read: dict[str, tuple[Namespace, ...]] = {}
        for name in ("users", "aliases", "rooms"):
            each = [self._namespace(path, value) for path, value in self._items(tree, name, f"namespaces.{name}")]
            read[name] = tuple(namespace for namespace in each if namespace is not None)
        return read

    def _namespace(self, path: str, value: Any) -> Namespace | None:
        if not isinstance(value, dict):
            self._fault(path, f"must be a mapping of keys to values, not {kind(value)}")
            return None
        exclusive = value.get("exclusive")
        if not isinstance(exclusive, bool):
            told = "must be given" if exclusive is None else f"must be true or false, not {exclusive!r}"
            self._fault(f"{path}.exclusive", told)
        regex = value.get("regex")
        if not isinstance(regex, str):
            told = "must be given" if regex is None else f"must be a text, not {kind(regex)}; put it in quotes"
            self._fault(f"{path}.regex", told)
            return None
        try:
            return Namespace(re.compile(regex), exclusive is True)
        except (re.error, RecursionError, OverflowError) as error:
            self._fault(f"{path}.regex", f"{regex[:80]!r} is not a regular expression: {error}")
            return None

    def _items(self, tree: dict[str, Any], key: str, path: str) -> list[tuple[str, Any]]:
        values = tree.get(key)
        if values is None:
            return []
        if not isinstance(values, list):
            self._fault(path, f"must be a list, not {kind(values)}")
            return []
        return [(f"{path}[{index}]", value) for index, value in enumerate(values)]
