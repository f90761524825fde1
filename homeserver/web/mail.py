"""Sending mails, over SMTP.

Source: RFC 5321; RFC 3207 for STARTTLS; RFC 3834 for mails that no person wrote.
"""

import email.utils
import io
import re
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS

TIMEOUT_S = 30.0
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
# RFC 5321, 4.5.3.1.3.
MAX_ADDRESS = 254
# A link in a header must stay in one piece; a line may have 998 characters: RFC 5322, 2.1.1.
_POLICY = EmailPolicy(max_line_length=900)
_NO_HEADERS: Mapping[str, str] = {}


class MailFailed(Exception):
    """The server did not take the mail."""


@frozen(kw_only=True)
class MailServer:
    """`sender` is a header: an address, with or without a name."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls_from_start: bool
    may_turn_to_tls: bool
    must_have_tls: bool
    tls_name: str | None
    sender: str


def is_address(text: str) -> bool:
    """Plain addresses only: no quotes, no comments, nothing that is not ASCII."""
    return len(text) <= MAX_ADDRESS and _ADDRESS.fullmatch(text) is not None


class Mailer:
    def __init__(self, *, reactor: Any, server: MailServer) -> None:
        self._reactor = reactor
        self._server = server

    async def send(
        self, to: str, subject: str, text: str, *, html: str | None = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        """Comes back when the server has taken it. Raises: MailFailed."""
        message = self._message(to, subject, text)
        for name, value in headers.items():
            message[name] = value
        if html is not None:
            message.add_alternative(html, subtype="html")
        # Its module imports the reactor, which is chosen by __main__ and must not be there before a process forks.
        from twisted.mail.smtp import ESMTPSenderFactory

        server = self._server
        tls_name = server.tls_name or server.host
        done: Deferred[object] = Deferred()
        factory = ESMTPSenderFactory(  # type: ignore[no-untyped-call]
            None if server.user is None else server.user.encode(),
            None if server.password is None else server.password.encode(),
            email.utils.parseaddr(server.sender)[1],
            to,
            io.BytesIO(message.as_bytes()),
            done,
            retries=0,
            timeout=TIMEOUT_S,
            contextFactory=optionsForClientTLS(tls_name) if server.may_turn_to_tls else None,
            heloFallback=True,
            requireAuthentication=server.user is not None,
            requireTransportSecurity=server.must_have_tls and not server.tls_from_start,
            hostname=tls_name,
        )
        endpoint: Any = HostnameEndpoint(self._reactor, server.host, server.port, timeout=TIMEOUT_S)
        if server.tls_from_start:
            endpoint = wrapClientTLS(optionsForClientTLS(tls_name), endpoint)
        try:
            await endpoint.connect(factory)
            await done.addTimeout(TIMEOUT_S, self._reactor)
        except Exception as error:
            # Whatever hinders it, from the name look-up to the server's last word, means the same.
            raise MailFailed(f"{type(error).__name__}: {error}"[:300]) from error

    def _message(self, to: str, subject: str, text: str) -> EmailMessage:
        message = EmailMessage(_POLICY)
        message["From"] = self._server.sender
        message["To"] = to
        message["Subject"] = " ".join(subject.split())
        message["Date"] = email.utils.formatdate(self._reactor.seconds())
        message["Message-ID"] = email.utils.make_msgid(domain=self._server.host)
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content(text)
        return message
