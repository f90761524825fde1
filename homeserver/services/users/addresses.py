"""The addresses of users, and where they are published.

Source: client-server API, "Account Management", "Adding Account Administrative Contact Information".
"""

from collections.abc import Awaitable, Callable
from typing import Any

from homeserver.runtime.clock import Clock
from homeserver.services.users.address_checks import ADD, EMAIL, PASSWORD, REGISTER, AddressChecks, canonical
from homeserver.services.users.identity_servers import IdentityServers
from homeserver.services.users.ui_auth import Attempt, WrongUser
from matrix.errors import BadRequest, Forbidden, MatrixError
from matrix.ids import UserId
from storage import threepids as rows
from storage.change import AlreadyThere, Change
from storage.commit import Committer
from storage.database import Database
from storage.threepids import Address, Check

# A user has an address no more; None: not one.
OnAddressRemoved = Callable[[UserId, str | None], Awaitable[None]]


async def _nobody_hears(user_id: UserId, address: str | None) -> None:
    pass


class Addresses:
    """`may_change`: the operator's enable_3pid_changes."""

    def __init__(
        self,
        *,
        database: Database,
        commit: Committer,
        clock: Clock,
        checks: AddressChecks,
        identity_servers: IdentityServers,
        may_change: bool = True,
        on_removed: OnAddressRemoved = _nobody_hears,
    ) -> None:
        self._database = database
        self._commit = commit
        self._clock = clock
        self._checks = checks
        self._identity_servers = identity_servers
        self._on_removed = on_removed
        self.may_change = may_change

    async def list_of(self, user_id: UserId) -> list[Address]:
        return await self._database.read(rows.addresses_of, user_id)

    async def owner_of(self, medium: str, address: str) -> UserId | None:
        """Whose address it is."""
        address = canonical(address) if medium == EMAIL else address
        return await self._database.read(rows.find_owner, medium, address) if "\x00" not in medium + address else None

    def check_may_change(self) -> None:
        """Raises: Forbidden."""
        if not self.may_change:
            raise Forbidden("Addresses are not changed here: the server's operator does it")

    async def find_passed(self, sid: str, client_secret: str) -> Check:
        """A check for adding an address. Raises: BadRequest M_THREEPID_AUTH_FAILED if it was not passed."""
        try:
            return await self._checks.passed(sid, client_secret, (ADD,))
        except MatrixError as error:
            raise BadRequest("The address has not been confirmed", "M_THREEPID_AUTH_FAILED") from error

    async def add(self, user_id: UserId, check: Check) -> None:
        """Raises: BadRequest M_THREEPID_IN_USE if somebody else was faster."""
        if check.validated_ms is None:
            raise BadRequest("The address has not been confirmed", "M_THREEPID_AUTH_FAILED")
        row = (check.medium, check.address, user_id, check.validated_ms, self._clock.now_ms())
        try:
            await self._commit(Change().put(rows.ADD, row))
        except AlreadyThere as error:
            if await self.owner_of(check.medium, check.address) != user_id:
                raise BadRequest("Somebody has this address already", "M_THREEPID_IN_USE") from error
        await self._checks.used(check)

    async def bind(self, user_id: UserId, server: str, token: str, sid: str, client_secret: str) -> None:
        """Publishes an address at an identity server. Raises: MatrixError."""
        medium, address = await self._identity_servers.bind(server, token, sid, client_secret, user_id)
        await self._database.run(rows.add_bind, user_id, medium, address, server)

    async def unbind(self, user_id: UserId, medium: str, address: str, server: str | None) -> bool:
        """Takes back what was published, at the server or wherever it was. False if one cannot.

        Source: "If the homeserver does not know the original `id_server`, it MUST return `no-support`".
        """
        address = canonical(address) if medium == EMAIL else address
        binds = await self._database.read(rows.binds_of, user_id)
        servers = [name for *bound, name in binds if bound == [medium, address]]
        if server is not None:
            servers = [server]
        results = [await self._unbind(user_id, medium, address, name) for name in servers]
        return bool(results) and all(results)

    async def _unbind(self, user_id: UserId, medium: str, address: str, server: str) -> bool:
        done = await self._identity_servers.unbind(server, user_id, medium, address)
        await self._database.run(rows.delete_bind, user_id, medium, address, server)
        return done

    async def remove(self, user_id: UserId, medium: str, address: str) -> None:
        address = canonical(address) if medium == EMAIL else address
        await self._database.run(rows.delete, user_id, medium, address)
        await self._on_removed(user_id, address)

    async def forget_all(self, user_id: UserId) -> None:
        """Of a closed account. What an identity server does not take back stays there: it is not ours."""
        await self._database.run(rows.delete_all, user_id)
        await self._on_removed(user_id, None)
        for medium, address, server in await self._database.read(rows.binds_of, user_id):
            try:
                await self._unbind(user_id, medium, address, server)
            except MatrixError:
                await self._database.run(rows.delete_bind, user_id, medium, address, server)


class EmailStage:
    """The stage m.login.email.identity: a check that was passed, begun by this operation's own requestToken."""

    def __init__(self, *, database: Database, checks: AddressChecks) -> None:
        self._database = database
        self._checks = checks

    async def check(self, attempt: Attempt) -> Any:
        credentials = attempt.auth.optional_object("threepid_creds") or attempt.auth.object("threepidCreds")
        is_registration = attempt.call.path.endswith("/register")
        purpose = REGISTER if is_registration else PASSWORD
        check = await self._checks.passed(credentials.text("sid"), credentials.text("client_secret"), (purpose,))
        owner = await self._database.read(rows.find_owner, check.medium, check.address)
        if is_registration and owner is not None:
            raise BadRequest("Somebody has this address already", "M_THREEPID_IN_USE")
        if not is_registration and owner is None:
            raise Forbidden("Nobody here has this address", "M_THREEPID_NOT_FOUND")
        if attempt.user_id is not None and owner != attempt.user_id:
            raise WrongUser("This is another user's address")
        await self._checks.used(check)
        return {"user_id": owner, "address": check.address, "validated_ms": check.validated_ms}

    async def abandon(self, results: list[Any]) -> None:
        pass
