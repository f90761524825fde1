"""Real clients, each a process of its own that is driven by lines of JSON: matrix-js-sdk in Node.js, and matrix-nio."""

import json
import shutil
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

HERE = Path(__file__).parent
JS = HERE / "js"
NIO_PYTHON = HERE.parent.parent / ".venv" / "interop" / "bin" / "python"

# Longer than a client waits for the server, so that it is the client that says what was missing.
PATIENCE_S = 60
PASSWORD = "correct horse battery staple"


class Refused(Exception):
    """The client failed: by an error of the server, then with its errcode, or by one of its own."""

    def __init__(self, error: dict[str, Any], log: Path) -> None:
        super().__init__(f"{error['message']}\n{error.get('stack')}\nMore in {log}")
        self.errcode = error.get("errcode")
        self.status = error.get("status")


@frozen
class Kind:
    """How a client is started; its arguments are the server's address and an empty directory."""

    name: str
    command: tuple[str, ...]
    missing: str | None


class RealClient:
    """One client process. Its methods are those of js/client.mjs and py/client.py."""

    def __init__(self, kind: Kind, url: str, directory: Path) -> None:
        self.kind = kind
        self.user_id = self.device_id = ""
        self.log = directory / "log"
        self._waiting: dict[int, Future[Any]] = {}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*kind.command, url, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, method: str, **args: Any) -> "Future[Any]":
        """Starts a method; its result is awaited where it is needed, so that two clients can act at the same time."""
        number = len(self._waiting)
        self._waiting[number] = Future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "method": method, "args": args}).encode() + b"\n")
        self._process.stdin.flush()
        return self._waiting[number]

    def do(self, method: str, **args: Any) -> Any:
        """The result of a method. Raises: Refused."""
        return self.begin(method, **args).result(PATIENCE_S)

    def sign_in(self, user: str) -> None:
        """Signs in on a new device."""
        signed_in = self.do("login", user=user, password=PASSWORD)
        self.user_id, self.device_id = signed_in["user_id"], signed_in["device_id"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = json.loads(line)
            if "error" in reply:
                self._waiting[reply["id"]].set_exception(Refused(reply["error"], self.log))
            else:
                self._waiting[reply["id"]].set_result(reply["result"])
        for future in list(self._waiting.values()):
            if not future.done():
                last_words = self.log.read_text(errors="replace")[-2000:]
                future.set_exception(Refused({"message": f"{self.kind.name} has ended: {last_words}"}, self.log))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def js_kind() -> Kind:
    node = shutil.which("node")
    missing = None
    if node is None:
        missing = "Node.js is not installed: apt install nodejs npm, then run scripts/interop-setup"
    elif not (JS / "node_modules" / "installed").exists():
        missing = "matrix-js-sdk is not installed: run scripts/interop-setup"
    return Kind("js", (node or "node", str(JS / "client.mjs")), missing)


def nio_kind() -> Kind:
    installed = (NIO_PYTHON.parent.parent / "installed").exists()
    missing = None if installed else "matrix-nio is not installed: run scripts/interop-setup"
    return Kind("nio", (str(NIO_PYTHON), str(HERE / "py" / "client.py")), missing)


def skip_without(kind: Kind) -> None:
    if kind.missing is not None:
        pytest.skip(kind.missing)
