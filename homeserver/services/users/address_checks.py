"""Proving that an e-mail address is one's own: by a link in a mail.

Source: client-server API, "Account Management": the requestToken endpoints; "Email-based (identity / homeserver)".
"""

import re
from urllib.parse import urlencode, urlsplit

from attrs import evolve, frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.users.tokens import new_token, token_hash
from homeserver.web.mail import Mailer, MailFailed, is_address
from matrix.errors import BadRequest, Forbidden, InvalidParam, MatrixError
from matrix.ids import UserId
from storage import threepids as rows
from storage.database import Database
from storage.threepids import Check

EMAIL, MSISDN = "email", "msisdn"
ADD, REGISTER, PASSWORD = "add", "register", "password"
PURPOSES = (ADD, REGISTER, PASSWORD)
# "The string should be composed of the characters [0-9a-zA-Z.=_-]. Its length must not exceed 255."
_SECRET = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")
MAX_LINK_CHARACTERS = 2_048
LINK = "/_matrix/client/unstable/hearth/email/submit_token"
# A passed check is good for so long; who takes longer begins anew.
KEEP_MS = 24 * 3600 * 1000

_WHAT = {
    ADD: ("validate your email", "to add this address to your account"),
    REGISTER: ("finish making your account", "to make an account with this address"),
    PASSWORD: ("reset your password", "to give your account a new password"),
}


@frozen(kw_only=True)
class CheckSettings:
    """`allowed`: patterns of the addresses that users may give, None for all. `hides_owners`: say of no address
    whether anybody has it.
    """

    app_name: str = "Matrix"
    base_url: str = ""
    token_ms: int = 3600 * 1000
    allowed: tuple[tuple[str, str], ...] | None = None
    hides_owners: bool = False


@frozen(kw_only=True)
class Asked:
    """What a client asks a mail for."""

    purpose: str
    address: str
    client_secret: str
    send_attempt: int
    next_link: str | None = None
    client_ip: str = ""


class AddressChecks:
    """`mailer` is None where the operator has configured none. `limit`: rc_3pid_validation."""

    def __init__(
        self, *, database: Database, clock: Clock, mailer: Mailer | None, settings: CheckSettings, limit: RateLimit
    ) -> None:
        self._database = database
        self._clock = clock
        self._mailer = mailer
        self._settings = settings
        self._limit = limit

    @property
    def can_mail(self) -> bool:
        return self._mailer is not None

    async def begin(self, asked: Asked) -> str:
        """Sends a mail with a token, unless this attempt was made already; gives the check's sid.

        Raises: MatrixError.
        """
        if self._mailer is None:
            raise BadRequest("This server sends no mails", "M_THREEPID_MEDIUM_NOT_SUPPORTED")
        _check(asked)
        address = canonical(asked.address)
        self._limit.take(("ip", asked.client_ip))
        self._limit.take(("address", address))
        if not self._is_allowed(address):
            raise Forbidden("Addresses like this are not allowed on this server", "M_THREEPID_DENIED")
        owner = await self._database.read(rows.find_owner, EMAIL, address)
        if (owner is None) == (asked.purpose == PASSWORD):
            return self._refuse(owner)
        return await self._begin(self._mailer, asked, address)

    async def _begin(self, mailer: Mailer, asked: Asked, address: str) -> str:
        now_ms = self._clock.now_ms()
        args = (asked.client_secret, address, asked.purpose, now_ms - self._settings.token_ms)
        check = await self._database.read(rows.find_check_of_secret, *args)
        if check is not None and (check.send_attempt >= asked.send_attempt or check.validated_ms is not None):
            return check.sid
        token, sid = new_token("hvt"), new_token("sid") if check is None else check.sid
        new = Check(
            *(sid, asked.purpose, EMAIL, address, asked.client_secret, token_hash(token)),
            *(asked.next_link, asked.send_attempt, now_ms),
        )
        await self._database.run(rows.put_check, new)
        subject, text = self._mail(asked, sid, token)
        try:
            await mailer.send(address, subject, text)
        except MailFailed as error:
            # The next attempt is to be one, even if the client calls it the same.
            await self._database.run(rows.put_check, evolve(new, send_attempt=-1))
            raise MatrixError(500, "M_UNKNOWN", "The mail could not be sent") from error
        return sid

    def _refuse(self, owner: UserId | None) -> str:
        if self._settings.hides_owners:
            return new_token("sid")
        if owner is None:
            raise BadRequest("Nobody here has this address", "M_THREEPID_NOT_FOUND")
        raise BadRequest("Somebody has this address already", "M_THREEPID_IN_USE")

    def _mail(self, asked: Asked, sid: str, token: str) -> tuple[str, str]:
        title, why = _WHAT[asked.purpose]
        query = urlencode({"token": token, "client_secret": asked.client_secret, "sid": sid})
        app = self._settings.app_name
        text = (
            f"Somebody asked {app} for this mail, {why}.\n\nIf it was you, open this link:\n\n"
            f"{self._settings.base_url.rstrip('/')}{LINK}?{query}\n\nIf it was not you, do nothing.\n"
        )
        return f"[{app}] {title[0].upper()}{title[1:]}", text

    def _is_allowed(self, address: str) -> bool:
        allowed = self._settings.allowed
        return allowed is None or any(kind == EMAIL and re.match(pattern, address) for kind, pattern in allowed)

    async def find_open(self, sid: str, client_secret: str, token: str) -> Check:
        """The check that a link of ours is for. Raises: Forbidden."""
        check = await self._database.read(rows.find_check, sid)
        is_right = check is not None and (check.client_secret, check.token_hash) == (client_secret, token_hash(token))
        if check is None or not is_right:
            raise Forbidden("This link is not good", "M_THREEPID_AUTH_FAILED")
        if check.validated_ms is None and check.made_ms + self._settings.token_ms < self._clock.now_ms():
            raise Forbidden("This link has expired: ask for another mail", "M_THREEPID_AUTH_FAILED")
        return check

    async def pass_(self, check: Check) -> None:
        await self._database.run(rows.pass_check, check.sid, self._clock.now_ms())

    async def passed(self, sid: str, client_secret: str, purposes: tuple[str, ...]) -> Check:
        """A check that was passed. Raises: MatrixError 401 M_UNAUTHORIZED if not, as far as the client can know."""
        check = await self._database.read(rows.find_check, sid)
        is_known = check is not None and check.client_secret == client_secret and check.purpose in purposes
        if check is None or not is_known or check.validated_ms is None:
            raise MatrixError(401, "M_UNAUTHORIZED", "The address has not been confirmed")
        return check

    async def used(self, check: Check) -> None:
        await self._database.run(rows.delete_check, check.sid)

    async def trim(self) -> int:
        return await self._database.run(rows.trim_checks, self._clock.now_ms() - KEEP_MS)


def canonical(address: str) -> str:
    """As Synapse: nobody has two mail boxes that differ in case only."""
    return address.casefold()


def _check(asked: Asked) -> None:
    """Raises: InvalidParam."""
    if not _SECRET.fullmatch(asked.client_secret):
        raise InvalidParam("client_secret must be of up to 255 characters 0-9, a-z, A-Z and .=_-")
    if not is_address(asked.address):
        raise InvalidParam("This is no e-mail address")
    link = asked.next_link
    if link is not None and (len(link) > MAX_LINK_CHARACTERS or urlsplit(link).scheme not in ("http", "https")):
        raise InvalidParam("next_link must be an HTTP URL")
