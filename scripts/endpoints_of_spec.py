"""Writes tests/fixtures/endpoints.json: what the client-server API's OpenAPI says of each endpoint's input.

    python scripts/endpoints_of_spec.py <matrix-spec checkout>

One line an endpoint: method, path, access ("none", "optional" or "token"), query parameters and the JSON body, each as
a schema cut down to type, required, properties, additional, items, enum, minimum and maximum; and the statuses that
the spec names.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

OUT = Path(__file__).parent.parent / "tests/fixtures/endpoints.json"
METHODS = ("get", "put", "post", "delete", "patch", "head")
KEPT = ("enum", "minimum", "maximum", "format")
# Schemas of the spec refer to themselves (an event in an event's unsigned).
MAX_DEPTH = 8


class Reader:
    """Reads YAML files, and follows `$ref` from one to another."""

    def __init__(self) -> None:
        self._documents_by_path: dict[Path, Any] = {}

    def load(self, path: Path) -> Any:
        path = path.resolve()
        if path not in self._documents_by_path:
            self._documents_by_path[path] = yaml.safe_load(path.read_text())
        return self._documents_by_path[path]

    def follow(self, node: Any, at: Path) -> tuple[Any, Path]:
        while isinstance(node, dict) and "$ref" in node:
            name, _, pointer = node["$ref"].partition("#")
            at = (at.parent / name).resolve() if name else at
            node = self.load(at)
            for step in filter(None, pointer.split("/")):
                node = node[step]
        return node, at

    def schema(self, node: Any, at: Path, depth: int = 0) -> dict[str, Any]:
        """The schema in short; `allOf` merged, of `oneOf` the types."""
        node, at = self.follow(node, at)
        short: dict[str, Any] = {name: node[name] for name in KEPT if name in node}
        kinds = node.get("type", [])
        short["type"] = [kinds] if isinstance(kinds, str) else list(kinds)
        for name in ("oneOf", "anyOf"):
            for one in node.get(name, ()):
                short["type"] += self.schema(one, at, depth + 1)["type"]
        if depth < MAX_DEPTH:
            self._children(short, node, at, depth)
        for part in node.get("allOf", ()):
            _merge(short, self.schema(part, at, depth + 1))
        return short

    def _children(self, short: dict[str, Any], node: Any, at: Path, depth: int) -> None:
        if node.get("required"):
            short["required"] = list(node["required"])
        if node.get("properties"):
            short["properties"] = {
                name: self.schema(child, at, depth + 1) for name, child in node["properties"].items()
            }
        for name, key in (("additionalProperties", "additional"), ("items", "items")):
            if isinstance(node.get(name), dict):
                short[key] = self.schema(node[name], at, depth + 1)

    def example(self, content: Any, at: Path) -> Any:
        """The example of a body, wherever the spec has put it; None if there is none."""
        examples = content.get("examples")
        if examples:
            first, at = self.follow(next(iter(examples.values())), at)
            return first.get("value")
        node, at = self.follow(content.get("schema", {}), at)
        if "example" in node:
            return node["example"]
        return self._example_of_parts(node, at)

    def _example_of_parts(self, node: Any, at: Path) -> Any:
        made: dict[str, Any] = {}
        for part in node.get("allOf", ()):
            made |= self.example({"schema": part}, at) or {}
        for name, child in node.get("properties", {}).items():
            value = self.example({"schema": child}, at)
            if value is not None:
                made[name] = value
        return made or None


def _merge(short: dict[str, Any], part: dict[str, Any]) -> None:
    short["type"] += [kind for kind in part["type"] if kind not in short["type"]]
    short["required"] = [*short.get("required", ()), *part.get("required", ())]
    short["properties"] = {**part.get("properties", {}), **short.get("properties", {})}
    for name in ("additional", "items", *KEPT):
        if name in part:
            short.setdefault(name, part[name])


def endpoints(directory: Path, reader: Reader) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob("*.yaml")):
        document = reader.load(path)
        base = document["servers"][0]["variables"].get("basePath", {"default": ""})["default"]
        for route, methods in document["paths"].items():
            for method in METHODS:
                if method in methods:
                    # The spec tells some paths that differ in their body only apart by a trailing space.
                    yield endpoint(method, base + route.rstrip(), methods[method], path, reader)


def endpoint(method: str, route: str, said: Any, path: Path, reader: Reader) -> dict[str, Any]:
    security = said.get("security", [])
    access = "none" if not security else "optional" if {} in security else "token"
    made: dict[str, Any] = {"method": method.upper(), "path": route, "access": access}
    for parameter in said.get("parameters", ()):
        parameter, at = reader.follow(parameter, path)
        if parameter["in"] not in ("query", "path"):
            continue
        short = reader.schema(parameter["schema"], at)
        short["example"] = parameter.get("example", parameter["schema"].get("example"))
        if parameter["in"] == "query" and parameter.get("required"):
            short["required"] = True
        made.setdefault("segments" if parameter["in"] == "path" else "query", {})[parameter["name"]] = short
    content = said.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        made["body"] = reader.schema(content.get("schema", {}), path)
        made["example"] = reader.example(content, path)
        made["body_required"] = bool(said["requestBody"].get("required"))
    made["statuses"] = sorted(int(status) for status in said["responses"] if str(status).isdigit())
    return made


def main() -> None:
    directory = Path(sys.argv[1]) / "data/api/client-server"
    lines = [json.dumps(made, sort_keys=True) for made in endpoints(directory, Reader())]
    OUT.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{OUT}: {len(lines)} endpoints")


if __name__ == "__main__":
    main()
