"""How often somebody may do something."""

from attrs import frozen

from synapse_like_config.reading import option, section
from synapse_like_config.units import Rate


@frozen
class LoginRates:
    """Signing in."""

    address: Rate = section(lambda: Rate(0.003, 5), "From one address.")
    account: Rate = section(lambda: Rate(0.003, 5), "To one account.")
    failed_attempts: Rate = section(lambda: Rate(0.17, 3), "To one account, in vain.")


@frozen
class JoinRates:
    """Joining rooms."""

    local: Rate = section(lambda: Rate(0.1, 10), "Rooms in which the server is already.")
    remote: Rate = section(lambda: Rate(0.01, 10), "Rooms of other servers, a big work.")


@frozen
class InviteRates:
    """Invitations."""

    per_room: Rate = section(lambda: Rate(0.3, 10), "To one room.")
    per_user: Rate = section(lambda: Rate(0.003, 5), "To one user.")
    per_issuer: Rate = section(lambda: Rate(0.3, 10), "From one user.")


@frozen
class PresenceRates:
    """Presence."""

    per_user: Rate = section(lambda: Rate(0.1, 1), "Of one user.")


@frozen
class FederationRates:
    """Requests of one other server."""

    window_size: int = option(1000, "The time in which requests are counted, in milliseconds.")
    sleep_limit: int = option(10, "From so many on in that time, each waits.")
    sleep_delay: int = option(500, "So long, in milliseconds.")
    reject_limit: int = option(50, "From so many waiting on, they are refused.")
    concurrent: int = option(3, "How many are worked on at once.")


@frozen
class RateLimits:
    """How often somebody may do something."""

    rc_message: Rate = section(lambda: Rate(0.2, 10), "Messages of one user.")
    rc_registration: Rate = section(lambda: Rate(0.17, 3), "Registrations from one address.")
    rc_registration_token_validity: Rate = section(lambda: Rate(0.1, 5), "Questions whether a token is good.")
    rc_login: LoginRates = section(LoginRates, "Signing in.")
    rc_admin_redaction: Rate | None = option(None, "Redactions of one administrator. Null: as rc_message.")
    rc_joins: JoinRates = section(JoinRates, "Joins of one user.")
    rc_joins_per_room: Rate = section(lambda: Rate(1, 10), "Joins to one room.")
    rc_3pid_validation: Rate = section(lambda: Rate(0.003, 5), "Mails with a token, to one address.")
    rc_invites: InviteRates = section(InviteRates, "Invitations.")
    rc_third_party_invite: Rate = section(lambda: Rate(0.0025, 5), "Invitations to an address, of one user.")
    rc_key_requests: Rate = section(lambda: Rate(20, 100), "Requests for keys, from one device to another's.")
    rc_media_create: Rate = section(lambda: Rate(10, 50), "Announcements of uploads of one user.")
    rc_federation: FederationRates = section(FederationRates, "Requests of one other server.")
    rc_presence: PresenceRates = section(PresenceRates, "Changes of presence.")
    rc_delayed_event_mgmt: Rate = section(lambda: Rate(1, 5), "Changes of delayed events of one user.")
    rc_room_creation: Rate = section(lambda: Rate(0.016, 10), "Rooms that one user makes.")
    rc_reports: Rate = section(lambda: Rate(1, 5), "Reports of one user.")
    rc_profile: Rate = section(lambda: Rate(1, 500), "Profiles that one user looks up, or who is not signed in.")
    rc_user_directory: Rate = section(lambda: Rate(0.016, 200), "Searches of one user for others.")
