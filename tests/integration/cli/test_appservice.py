"""`hearth appservice` beside a server that runs: what it adds is there at once. And a file that is read again."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.integration.appservice.bridge import IRC
from tests.integration.cli.test_serve import Start, start, tmp_path

__all__ = ["start", "tmp_path"]
PATIENCE_S = 30


def appservice(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeserver", "appservice", *words, "-c", str(directory / "homeserver.yaml")]
    return subprocess.run([*command, "--data", str(directory)], capture_output=True, text=True, timeout=120)


def whoami(port: int, token: str) -> int:
    url = f"http://127.0.0.1:{port}/_matrix/client/v3/account/whoami?access_token={token}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def becomes(port: int, token: str, status: int) -> None:
    """A process that is not ours to await: it can only be asked again."""
    deadline = time.monotonic() + PATIENCE_S
    while whoami(port, token) != status:
        assert time.monotonic() < deadline, f"{token} never became {status}"
        time.sleep(0.05)


def test_what_is_added_beside_a_running_server_is_there_at_once(start: Start, tmp_path: Path) -> None:
    hearth = start()
    hearth.wait_until("ready")
    file = tmp_path / "irc.yaml"
    file.write_text(IRC.replace("id: irc", "id: 7"))
    faulty = appservice(tmp_path, "add", str(file))
    assert (faulty.returncode, "id: must be a text" in faulty.stderr) == (2, True)
    file.write_text(IRC)
    added = appservice(tmp_path, "add", str(file))
    assert (added.returncode, added.stdout.startswith("Added irc: ")) == (0, True), added
    becomes(hearth.port, "as-irc", 200)
    assert "irc: " in appservice(tmp_path, "list").stdout
    assert "irc" in appservice(tmp_path, "status").stdout
    assert appservice(tmp_path, "remove", "irc").returncode == 0
    becomes(hearth.port, "as-irc", 401)
    assert hearth.end(signal.SIGTERM) == 0
    # And without a server.
    assert appservice(tmp_path, "list").stdout == "There are no application services.\n"


def test_files_of_the_configuration_are_read_again_on_a_hangup(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "irc.yaml"
    file.write_text(IRC)
    with (tmp_path / "homeserver.yaml").open("a") as config:
        config.write(f"app_service_config_files: [{file}]\n")
    hearth = start()
    hearth.wait_until("ready")
    assert whoami(hearth.port, "as-irc") == 200
    file.write_text(IRC.replace("as-irc", "as-new"))
    os.kill(hearth.process.pid, signal.SIGHUP)
    becomes(hearth.port, "as-new", 200)
    assert whoami(hearth.port, "as-irc") == 401


def test_a_server_does_not_start_with_a_file_that_has_faults(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "irc.yaml"
    file.write_text(IRC.replace("hs_token: hs-irc\n", ""))
    with (tmp_path / "homeserver.yaml").open("a") as config:
        config.write(f"app_service_config_files: [{file}]\n")
    command = [sys.executable, "-m", "homeserver", "serve", "-c", str(tmp_path / "homeserver.yaml")]
    ended = subprocess.run([*command, "--data", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert f"app_service_config_files: {file}: hs_token: must be given" in ended.stderr
    assert "Traceback" not in ended.stderr
