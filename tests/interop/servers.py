"""A homeserver as a process of its own: Hearth, started as its user starts it, or a Synapse to prove the tests by.

Both read the same homeserver.yaml; only where they keep things differs.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

START_S = 90
STOP_S = 30

# Registration is open, nobody is held up by a limit.
CONFIGURATION = """
server_name: {server_name}
public_baseurl: {url}/
listeners:
  - {{port: {port}, bind_addresses: [127.0.0.1], type: http, resources: [{{names: [client]}}]}}
enable_registration: true
enable_registration_without_verification: true
bcrypt_rounds: 4
presence: {{enabled: true}}
rc_message: &free {{per_second: 100000, burst_count: 100000}}
rc_registration: *free
rc_login: {{address: *free, account: *free, failed_attempts: *free}}
rc_joins: {{local: *free, remote: *free}}
rc_joins_per_room: *free
rc_invites: {{per_room: *free, per_user: *free, per_issuer: *free}}
rc_media_create: *free
room_list_publication_rules: [{{action: allow}}]
"""

# What Synapse wants to be told, and Hearth does by itself.
SYNAPSE = """
report_stats: false
database: {{name: sqlite3, args: {{database: "{directory}/homeserver.db"}}}}
signing_key_path: "{directory}/signing.key"
media_store_path: "{directory}/media"
pid_file: "{directory}/pid"
trusted_key_servers: []
rc_presence: {{per_user: {{per_second: 100000, burst_count: 100000}}}}
"""


class Homeserver:
    """A running homeserver; `url` is where clients find it."""

    def __init__(self, url: str, server_name: str, command: list[str], log: Path) -> None:
        self.url = url
        self.server_name = server_name
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def wait_until_it_answers(self) -> None:
        """Raises: AssertionError, with its log, if it does not come up."""
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, f"the homeserver ended: {self.log.read_text()[-4000:]}"
            assert time.monotonic() < deadline, f"the homeserver does not answer: {self.log.read_text()[-4000:]}"
            # A process that is not ours to await: it can only be asked again.
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_matrix/client/versions", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)


def start_hearth(directory: Path) -> Homeserver:
    """Hearth with a PostgreSQL of its own, from an empty directory."""
    port = _free_port()
    file = directory / "homeserver.yaml"
    file.write_text(_configuration(port))
    command = [sys.executable, "-m", "homeserver", "serve", "-c", str(file), "--data", str(directory / "data")]
    return _started(port, command, directory)


def start_synapse(directory: Path) -> Homeserver:
    """The Synapse of $SYNAPSE_PYTHON."""
    port = _free_port()
    file = directory / "homeserver.yaml"
    file.write_text(_configuration(port) + SYNAPSE.format(directory=directory))
    command = [os.environ["SYNAPSE_PYTHON"], "-m", "synapse.app.homeserver", "-c", str(file)]
    subprocess.run([*command, "--generate-keys"], check=True, capture_output=True)
    return _started(port, command, directory)


def _started(port: int, command: list[str], directory: Path) -> Homeserver:
    homeserver = Homeserver(_url(port), "interop.test", command, directory / "homeserver.log")
    try:
        homeserver.wait_until_it_answers()
    except AssertionError:
        homeserver.stop()
        raise
    return homeserver


def _configuration(port: int) -> str:
    return CONFIGURATION.format(server_name="interop.test", url=_url(port), port=port)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
