"""Registrations for tests."""

from appservice.registration import Registration
from matrix.ids import ServerName

SERVER = ServerName("example.org")
IRC = """
id: irc
url: http://127.0.0.1:1234/
as_token: as-irc
hs_token: hs-irc
sender_localpart: _irc_bot
namespaces:
  users:
    - {exclusive: true, regex: "@_irc_.*"}
  aliases:
    - {exclusive: true, regex: "#_irc_.*"}
  rooms:
    - {exclusive: false, regex: "!irc.*"}
"""
DOUBLE_PUPPETS = """
id: doublepuppet
url:
as_token: as-puppets
hs_token: hs-puppets
sender_localpart: Xk3vPq
namespaces:
  users:
    - {exclusive: false, regex: "@.*:example\\\\.org"}
rate_limited: false
"""


def read(text: str) -> Registration:
    return Registration.read(text, SERVER)
