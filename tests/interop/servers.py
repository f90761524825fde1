"""A homeserver as a process of its own: Hearth, started as its user starts it, or a Synapse to prove the tests by.

Both read the same homeserver.yaml; only where they keep things differs.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.ports import free_port

SYNAPSE_PYTHON = Path(__file__).parent.parent.parent / ".venv" / "synapse" / "bin" / "python"
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

# For a server that speaks to others; comes before the listener for clients.
FEDERATION = """
tls_certificate_path: "{certificate}"
tls_private_key_path: "{key}"
federation_custom_ca_list: ["{authority}"]
ip_range_blacklist: []
allow_public_rooms_over_federation: true
federation_rr_transactions_per_room_per_second: 100000
rc_federation: {{window_size: 10, sleep_limit: 100000, sleep_delay: 1, reject_limit: 100000, concurrent: 100}}
listeners:
  - {{port: {port}, bind_addresses: [127.0.0.1], type: http, tls: true, resources: [{{names: [federation]}}]}}
"""

# What Synapse wants to be told, and Hearth does by itself.
SYNAPSE = """
report_stats: false
database: {{name: sqlite3, args: {{database: "{directory}/homeserver.db"}}}}
signing_key_path: "{directory}/signing.key"
media_store_path: "{directory}/media"
pid_file: "{directory}/pid"
trusted_key_servers: []
# Else it tries a transaction again for minutes before it takes a server for gone, and hears of no return meanwhile.
federation: {{max_long_retries: 1, max_long_retry_delay: 1s}}
rc_presence: {{per_user: {{per_second: 100000, burst_count: 100000}}}}
"""


class Homeserver:
    """A running homeserver; `url` is where clients find it."""

    def __init__(self, url: str, server_name: str, command: list[str], log: Path) -> None:
        self.url = url
        self.server_name = server_name
        self.log = log
        self._command = command
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

    def start_again(self) -> None:
        """After `stop`, with what it has kept."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=subprocess.STDOUT)
        self.wait_until_it_answers()

    def kill(self) -> None:
        """It can write nothing down any more."""
        self._process.kill()
        self._process.wait(STOP_S)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)


def start_hearth(directory: Path, authority: Authority | None = None, more: str = "") -> Homeserver:
    """Hearth with a PostgreSQL of its own, from an empty directory. With an authority it speaks to other servers.

    `more`: further lines of the configuration.
    """
    port = free_port()
    file = directory / "homeserver.yaml"
    # Of the two servers this one has an address for its name: so a room's server acl can tell them apart.
    server_name, text = _configuration("127.0.0.1", port, directory, authority)
    file.write_text(text + more)
    command = [sys.executable, "-m", "homeserver", "serve", "-c", str(file), "--data", str(directory / "data")]
    return _started(port, server_name, command, directory)


def start_synapse(directory: Path, authority: Authority | None = None, more: str = "") -> Homeserver:
    """The Synapse of $SYNAPSE_PYTHON, or of scripts/interop-setup."""
    port = free_port()
    file = directory / "homeserver.yaml"
    server_name, text = _configuration("localhost", port, directory, authority)
    file.write_text(text + SYNAPSE.format(directory=directory) + more)
    python = os.environ.get("SYNAPSE_PYTHON", str(SYNAPSE_PYTHON))
    command = [python, "-m", "synapse.app.homeserver", "-c", str(file)]
    subprocess.run([*command, "--generate-keys"], check=True, capture_output=True)
    return _started(port, server_name, command, directory)


def _started(port: int, server_name: str, command: list[str], directory: Path) -> Homeserver:
    homeserver = Homeserver(_url(port), server_name, command, directory / "homeserver.log")
    try:
        homeserver.wait_until_it_answers()
    except AssertionError:
        homeserver.stop()
        raise
    return homeserver


def _configuration(host: str, port: int, directory: Path, authority: Authority | None) -> tuple[str, str]:
    """The server's name, and its homeserver.yaml."""
    if authority is None:
        return "interop.test", CONFIGURATION.format(server_name="interop.test", url=_url(port), port=port)
    federation_port = free_port()
    # With a port in the name nobody looks for a .well-known.
    server_name = f"{host}:{federation_port}"
    certificate, key = authority.issue(host)
    text = CONFIGURATION.format(server_name=server_name, url=_url(port), port=port)
    federation = FEDERATION.format(port=federation_port, certificate=certificate, key=key, authority=authority.path)
    return server_name, text.replace("listeners:\n", federation, 1)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
