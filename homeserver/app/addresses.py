"""Addresses of users, wired: mails, identity servers."""

from collections.abc import Sequence

from attrs import frozen

from homeserver.app.core import Core
from homeserver.app.settings import Limits
from homeserver.client_api.address_links import AddressLinksApi
from homeserver.client_api.addresses import AddressesApi, RequestTokenApi
from homeserver.services.users.address_checks import AddressChecks, CheckSettings
from homeserver.services.users.addresses import Addresses, OnAddressRemoved
from homeserver.services.users.identity_servers import IdentityServers
from homeserver.services.users.ui_auth import UiAuth
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import OutgoingHttp
from homeserver.web.mail import Mailer, MailServer

HOUR_S = 3600.0


@frozen(kw_only=True)
class Contacts:
    addresses: Addresses
    checks: AddressChecks
    identity_servers: IdentityServers

    @property
    def may_change(self) -> bool:
        return self.checks.can_mail and self.addresses.may_change


def build_contacts(core: Core, address_removed: OnAddressRemoved) -> Contacts:
    database, config = core.storage.database, core.config
    registration, email = config.registration, config.notifications.email
    allowed = registration.allowed_local_3pids
    checks = AddressChecks(
        database=database,
        clock=core.clock,
        mailer=build_mailer(core),
        settings=CheckSettings(
            app_name=email.app_name,
            base_url=config.base_url,
            token_ms=email.validation_token_lifetime,
            allowed=tuple((one.medium, one.pattern) for one in allowed) if allowed else None,
            hides_owners=config.server.request_token_inhibit_3pid_errors,
        ),
        limit=Limits(core.clock).make(config.ratelimits.rc_3pid_validation),
    )
    rules = AddressRules.parse(config.federation.ip_range_blacklist, config.federation.ip_range_whitelist)
    identity_servers = IdentityServers(
        http=OutgoingHttp(reactor=core.reactor, rules=rules), server_name=core.server_name, key=core.signer.key
    )
    core.tasks.repeat("trim.threepid_checks", HOUR_S, checks.trim)
    return Contacts(
        checks=checks,
        identity_servers=identity_servers,
        addresses=Addresses(
            database=database,
            commit=core.storage.committer,
            clock=core.clock,
            checks=checks,
            identity_servers=identity_servers,
            may_change=registration.enable_3pid_changes,
            on_removed=address_removed,
        ),
    )


def build_mailer(core: Core) -> Mailer | None:
    """None where the operator has configured none."""
    options = core.config.notifications.email
    if options.notif_from is None:
        return None
    server = MailServer(
        host=options.smtp_host,
        port=options.smtp_port or (465 if options.force_tls else 25),
        user=options.smtp_user,
        password=options.smtp_pass,
        tls_from_start=options.force_tls,
        may_turn_to_tls=options.enable_tls,
        must_have_tls=options.require_transport_security,
        tls_name=options.tlsname,
        sender=options.notif_from.replace("%(app)s", options.app_name),
    )
    return Mailer(reactor=core.reactor, server=server)


def contact_apis(contacts: Contacts, ui_auth: UiAuth) -> Sequence[object]:
    links = [AddressLinksApi(checks=contacts.checks)] if contacts.checks.can_mail else []
    return [
        AddressesApi(addresses=contacts.addresses, ui_auth=ui_auth),
        RequestTokenApi(checks=contacts.checks, addresses=contacts.addresses),
        *links,
    ]
