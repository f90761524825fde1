"""bridge.yaml and the registrations: written once by `init`, read at each start with all faults told at once."""

import os
import secrets
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import yaml
from attrs import frozen

from appservice.bridges.core.names import Template
from appservice.bridges.core.package import AnyPackage
from appservice.bridges.core.settings import BridgeSettings
from synapse_like_config.load import ConfigFault, read_tree
from synapse_like_config.reading import Report, read_class
from synapse_like_config.units import BadValue, Bytes, show_size

JsonDict = dict[str, Any]
CONFIG, REGISTRATION, PUPPETS = "bridge.yaml", "registration.yaml", "double-puppets.yaml"
_PREFIX, _OURS = "HEARTH_BRIDGE_", "HEARTH_"
_WIDTH = 116

_HEADER = """\
# The bridge of Hearth to {title}. Each option that is not given stands here with its default: take away the `#` in
# front of it to change it. The environment overrides this file:
# HEARTH_BRIDGE_PUBLIC__ADDRESS=https://bridge.example.org
"""


@frozen
class BridgeConfig:
    """What bridge.yaml says: core's part and the network's."""

    settings: BridgeSettings
    network: Any
    warnings: tuple[str, ...] = ()


def load(file: Path, package: AnyPackage, environ: Mapping[str, str]) -> BridgeConfig:
    """Raises: ConfigFault, with all that is wrong."""
    ours = {_OURS + key.removeprefix(_PREFIX): value for key, value in environ.items() if key.startswith(_PREFIX)}
    tree, origins = read_tree([file], ours)
    report = Report({path: _PREFIX + name.removeprefix(_OURS) for path, name in origins.items()})
    of_network = tree.pop(package.name, None)
    network = _read(package.settings, {} if of_network is None else of_network, package.name, report)
    settings = _read(BridgeSettings, tree, "", report)
    if report.faults:
        raise ConfigFault(report.faults)
    return BridgeConfig(settings, network, tuple(report.warnings))


def _read(cls: type, raw: Any, path: str, report: Report) -> Any:
    try:
        return read_class(cls, raw, path, report)
    except BadValue as error:
        report.fault(path or "the file", str(error))
        return None


# --- writing


def write(directory: Path, package: AnyPackage, given: JsonDict) -> None:
    """A new bridge.yaml with its registrations; secrets are made. `given`: sections, as they stand in YAML.

    Raises: FileExistsError, OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_new(directory / CONFIG, sample(package, _with_secrets(package, given)))


def _with_secrets(package: AnyPackage, given: JsonDict) -> JsonDict:
    name = package.name
    made = {
        "id": f"hearth-{name}",
        "as_token": secrets.token_urlsafe(32),
        "hs_token": secrets.token_urlsafe(32),
        "puppet_token": secrets.token_urlsafe(32),
        "bot": f"{name}bot",
        "bot_name": f"{package.title} bridge",
        "users": f"{name}_{{}}",
        "aliases": f"{name}_{{}}",
    }
    return {
        **given,
        "appservice": {**made, **given.get("appservice", {})},
        "public": {"secret": secrets.token_urlsafe(32), **given.get("public", {})},
        "provisioning": {"shared_secret": secrets.token_urlsafe(32), **given.get("provisioning", {})},
    }


def write_registrations(directory: Path, settings: BridgeSettings, name: str) -> list[Path]:
    """The bridge's registration and that of its double puppets, as bridge.yaml wants them; their files."""
    options, server = settings.appservice, settings.homeserver.server_name
    host = "127.0.0.1" if "127.0.0.1" in options.bind_addresses else "localhost"
    users, aliases = Template("@", options.users, server), Template("#", options.aliases, server)
    files = [directory / REGISTRATION]
    registration = {
        "id": options.id,
        "url": f"http://{host}:{options.port}",
        "as_token": options.as_token,
        "hs_token": options.hs_token,
        "sender_localpart": options.bot,
        "rate_limited": False,
        "receive_ephemeral": True,
        "de.sorunome.msc2409.push_ephemeral": True,
        "protocols": [name],
        "namespaces": {
            "users": [{"regex": users.regex(), "exclusive": True}],
            "aliases": [{"regex": aliases.regex(), "exclusive": True}],
            "rooms": [],
        },
    }
    _replace(files[0], yaml.safe_dump(registration, sort_keys=False))
    if options.puppet_token is not None:
        files.append(directory / PUPPETS)
        _replace(files[1], yaml.safe_dump(_puppets(settings), sort_keys=False))
    return files


def _puppets(settings: BridgeSettings) -> JsonDict:
    """Tells nothing and claims nothing: it only lets the bridge act as users of this server who have signed in."""
    options = settings.appservice
    return {
        "id": f"{options.id}-puppets",
        "url": None,
        "as_token": options.puppet_token,
        "hs_token": secrets.token_urlsafe(16),
        "sender_localpart": f"{options.bot}-puppets",
        "rate_limited": False,
        "namespaces": {
            "users": [{"regex": f"@.*:{_escaped(settings.homeserver.server_name)}", "exclusive": False}],
            "aliases": [],
            "rooms": [],
        },
    }


def _escaped(server_name: str) -> str:
    return server_name.replace(".", r"\.")


def _write_new(file: Path, text: str) -> None:
    # Only its owner reads it: it holds tokens. "x": what is there is never overwritten.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def _replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    _write_new(new, text)
    new.replace(file)


def sample(package: AnyPackage, given: JsonDict) -> str:
    """The text of a bridge.yaml with every option explained."""
    lines = _HEADER.format(title=package.title).splitlines()
    hints = get_type_hints(BridgeSettings)
    for field in attrs.fields(BridgeSettings):
        lines.append("")
        lines += _option(field, hints[field.name], given, "")
        if field.name == "appservice":
            lines += ["", f"### {package.title}", f"{package.name}:"]
            lines += _section(package.settings, given.get(package.name, {}), "  ")
    return "\n".join(lines) + "\n"


def _section(cls: type, given: JsonDict, indent: str) -> Iterator[str]:
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        yield from _option(field, hints[field.name], given, indent)


def _option(field: "attrs.Attribute[Any]", hint: Any, given: JsonDict, indent: str) -> Iterator[str]:
    doc = str(field.metadata.get("doc", ""))
    if field.metadata.get("secret"):
        doc += f" Or {field.name}_path: a file with it."
    mark = "### " if not indent else f"{indent}## "
    yield from textwrap.wrap(doc, _WIDTH, initial_indent=mark, subsequent_indent=mark)
    if attrs.has(hint) if isinstance(hint, type) else False:
        below = given.get(field.name, {})
        comment = "" if below or not indent else "#"
        yield f"{comment}{indent}{field.name}:"
        yield from _section(hint, below, indent + "  ")
    elif field.name in given:
        yield f"{indent}{field.name}: {_flow(given[field.name])}"
    else:
        default = None if field.default is attrs.NOTHING else field.default
        yield f"#{indent}{field.name}: {_flow(_plain(default, hint))}"


def _plain(value: Any, hint: Any) -> Any:
    if hint is Bytes and value is not None:
        return show_size(value)
    if isinstance(value, tuple):
        return [_plain(each, None) for each in value]
    return str(value) if isinstance(value, str | Path) else value


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()
