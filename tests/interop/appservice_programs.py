"""Application services that nobody here wrote the libraries of, each a process of its own: see appservice_js/."""

import json
import shutil
from pathlib import Path
from typing import Any

from attrs import define, frozen

from tests.interop.clients import Kind, RealClient
from tests.support.ports import free_port

JS = Path(__file__).parent / "appservice_js"


@frozen
class Registered:
    """A service that a homeserver is told of before it starts. `kind` is the program."""

    kind: Kind
    name: str
    directory: Path
    port: int

    @classmethod
    def write(cls, kind: Kind, name: str, directory: Path, domain: str, **setting: Any) -> "Registered":
        """Its names begin with `<name>_`; `setting` is what the program is told beside (setting.mjs)."""
        directory.mkdir()
        port = free_port()
        prefix = f"{name}_"
        exclusive: dict[str, Any] = {"exclusive": True}
        registration = {
            "id": name,
            "url": f"http://127.0.0.1:{port}",
            "as_token": f"as {name}".replace(" ", "-"),
            "hs_token": f"hs {name}".replace(" ", "-"),
            "sender_localpart": f"{prefix}service",
            "rate_limited": False,
            "protocols": ["irc"],
            "receive_ephemeral": True,
            "de.sorunome.msc2409.push_ephemeral": True,
            "org.matrix.msc3202": True,
            "namespaces": {
                "users": [{**exclusive, "regex": f"@{prefix}.*"}],
                "aliases": [{**exclusive, "regex": f"#{prefix}.*"}],
                "rooms": [],
            },
        }
        (directory / "registration.yaml").write_text(json.dumps(registration))
        told = {
            "domain": domain,
            "port": port,
            "prefix": prefix,
            "people": ["ann", "bob"],
            "channels": ["x"],
            **setting,
        }
        (directory / "setting.json").write_text(json.dumps(told))
        return cls(kind, name, directory, port)

    @property
    def file(self) -> Path:
        return self.directory / "registration.yaml"


@define(eq=False)
class Program:
    """A running service. `user` and `alias`: what a name of its network is in Matrix."""

    registered: Registered
    url: str
    domain: str
    process: RealClient

    @classmethod
    def start(cls, registered: Registered, url: str, domain: str) -> "Program":
        program = cls(registered, url, domain, RealClient(registered.kind, url, registered.directory))
        program.do("start")
        return program

    def do(self, method: str, **args: Any) -> Any:
        return self.process.do(method, **args)

    def stop(self) -> None:
        self.process.stop()

    def start_again(self) -> None:
        self.process = RealClient(self.registered.kind, self.url, self.registered.directory)
        self.do("start")

    def user(self, nick: str) -> str:
        return f"@{self.registered.name}_{nick}:{self.domain}"

    def alias(self, channel: str) -> str:
        return f"#{self.registered.name}_{channel}:{self.domain}"


def program_kind(name: str) -> Kind:
    """`bridge`: with matrix-appservice-bridge. `bot`: with matrix-bot-sdk."""
    node = shutil.which("node")
    missing = None
    if node is None:
        missing = "Node.js is not installed: apt install nodejs npm, then run scripts/interop-setup"
    elif not (JS / "node_modules" / "installed").exists():
        missing = "The libraries for application services are not installed: run scripts/interop-setup"
    return Kind(name, (node or "node", "--require", str(JS / "crypto.cjs"), str(JS / f"{name}.mjs")), missing)
