"""Where the server listens."""

from pathlib import Path
from typing import Literal

from attrs import frozen

from synapse_like_config.reading import Json, option
from synapse_like_config.units import BadValue

_EVERYWHERE = ("::", "0.0.0.0")  # noqa: S104 - as in Synapse, for who does not say

ResourceName = Literal["client", "consent", "federation", "health", "keys", "media", "metrics", "openid", "static"]


@frozen
class Resource:
    """Some of what a listener serves."""

    names: tuple[ResourceName, ...] = option((), "What to serve: client, federation, keys, media, health, metrics ...")
    compress: bool = option(False, "Whether to compress answers.")

    @staticmethod
    def adapt(raw: Json) -> Json:
        # Nothing is replicated over HTTP here: every process reads the one stream.
        names = raw.get("names")
        if isinstance(names, str):
            return {**raw, "names": [names]}
        if isinstance(names, list):
            return {**raw, "names": [name for name in names if name not in ("replication", "webclient")]}
        return raw


@frozen
class Listener:
    """A port on some addresses, or a unix socket."""

    port: int | None = option(None, "The port.")
    path: Path | None = option(None, "The path of a unix socket, in place of a port.")
    mode: int = option(0o666, "The permissions of the unix socket.")
    bind_addresses: tuple[str, ...] = option(_EVERYWHERE, "The addresses; none given: all.")
    type: Literal["http", "metrics", "manhole"] = option("http", "http or metrics.")
    tls: bool = option(False, "Whether to speak TLS, with the certificate named below.")
    x_forwarded: bool = option(False, "Whether a reverse proxy tells the client's address in X-Forwarded-For.")
    resources: tuple[Resource, ...] = option((), "What is served here.")

    @staticmethod
    def adapt(raw: Json) -> Json:
        raw = dict(raw)
        one = raw.pop("bind_address", None)
        if not raw.get("bind_addresses"):
            raw["bind_addresses"] = [one] if one else list(_EVERYWHERE)
        elif one and isinstance(raw["bind_addresses"], list):
            raw["bind_addresses"] = [*raw["bind_addresses"], one]
        if raw.get("path") is not None:
            # Behind a unix socket there is always a proxy, and no other way to the client's address.
            raw.setdefault("x_forwarded", True)
        return raw

    def check(self) -> None:
        if (self.port is None) == (self.path is None):
            raise BadValue("give either a port or the path of a unix socket")
        if self.port is not None and not 0 <= self.port <= 65535:
            raise BadValue(f"{self.port} is no port", key="port")

    @property
    def serves(self) -> frozenset[str]:
        """The names of all its resources."""
        if self.type == "metrics":
            return frozenset({"metrics"})
        return frozenset(name for resource in self.resources for name in resource.names)

    @property
    def compresses(self) -> bool:
        return any(resource.compress for resource in self.resources)


_LOCAL = Listener(
    port=8008,
    bind_addresses=("127.0.0.1", "::1"),
    resources=(Resource(names=("client", "federation")),),
)


@frozen
class Listeners:
    """Where the server listens."""

    listeners: tuple[Listener, ...] = option((_LOCAL,), "The ports, addresses and unix sockets, and what they serve.")
    tls_certificate_path: Path | None = option(None, "The certificate of listeners with `tls: true`, with its chain.")
    tls_private_key_path: Path | None = option(None, "Its private key.")

    def check(self) -> None:
        if any(listener.tls for listener in self.listeners):
            for key in ("tls_certificate_path", "tls_private_key_path"):
                if getattr(self, key) is None:
                    raise BadValue("must be given, since a listener has `tls: true`", key=key)

    @property
    def open(self) -> tuple[Listener, ...]:
        """Those that Hearth opens: it has no manhole, which Synapse's files may ask for."""
        return tuple(listener for listener in self.listeners if listener.type != "manhole")
