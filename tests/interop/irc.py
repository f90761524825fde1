"""An IRC server, Debian's ngircd, as a process of its own, and somebody who chats on it by a plain socket."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".venv" / "ircd"
PATIENCE_S = 30

CONFIGURATION = """
[Global]
Name = irc.interop.test
Info = An IRC server for tests
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = hello
{user}
[Limits]
MaxConnectionsIP = 0
[Options]
DNS = no
Ident = no
PAM = no
"""


def ircd() -> Path | None:
    """The program, if it is installed."""
    found = shutil.which("ngircd")
    if found is None and (UNPACKED / "usr" / "sbin" / "ngircd").exists():
        return UNPACKED / "usr" / "sbin" / "ngircd"
    return None if found is None else Path(found)


class IrcServer:
    def __init__(self, program: Path, directory: Path) -> None:
        self.port = free_port()
        # Started as root it wants to be somebody else, and none of our directories is open to that one.
        user = "ServerUID = root\nServerGID = root\n" if os.getuid() == 0 else ""
        file = directory / "ngircd.conf"
        file.write_text(CONFIGURATION.format(port=self.port, user=user))
        libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-gnu*")))
        self._log = (directory / "ngircd.log").open("wb")
        self._process = subprocess.Popen(
            [str(program), "--nodaemon", "--config", str(file)],
            env={**os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {})},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def connect(self, nick: str) -> "Chatter":
        """Somebody with this nickname, as soon as the server listens."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return Chatter(self.port, nick)
            except ConnectionRefusedError:
                assert self._process.poll() is None, "the IRC server has ended"
                assert time.monotonic() < deadline, "the IRC server does not answer"
                time.sleep(0.1)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


class Chatter:
    """Somebody on the IRC server."""

    def __init__(self, port: int, nick: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._lines = self._socket.makefile("rb")
        self.nick = nick
        self.say(f"NICK {nick}")
        self.say(f"USER {nick} 0 * :{nick}")
        self.hears(" 376 ")

    def say(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\r\n")

    def hears(self, words: str) -> str:
        """The next line with these words; what comes before is passed over."""
        for line in self._lines:
            text = line.decode(errors="replace").rstrip("\r\n")
            if text.startswith("PING"):
                self.say(text.replace("PING", "PONG", 1))
            if words in text:
                return text
        raise AssertionError(f"the IRC server closed the connection before {words!r}")

    def join(self, channel: str) -> None:
        self.say(f"JOIN {channel}")
        self.hears(" 366 ")

    def message(self, target: str, text: str) -> None:
        self.say(f"PRIVMSG {target} :{text}")

    def leave(self) -> None:
        self._lines.close()
        self._socket.close()
