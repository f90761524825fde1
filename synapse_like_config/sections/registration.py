"""Who may make an account, and what a new one gets."""

from typing import Literal

from attrs import frozen

from matrix.ids import RoomAlias, is_new_localpart
from synapse_like_config.reading import option
from synapse_like_config.units import BadValue

Medium = Literal["email", "msisdn"]


@frozen
class AllowedThreepid:
    """Addresses with which one may register."""

    medium: Medium = option("email", "email or msisdn.")
    pattern: str = option(".*", "A regular expression for the address.")


@frozen
class Registration:
    """Who may make an account."""

    enable_registration: bool = option(False, "Whether anyone may make an account.")
    enable_registration_without_verification: bool = option(
        False, "Whether they may without any check, by e-mail, captcha or token: spammers will."
    )
    registration_requires_token: bool = option(False, "Whether one needs a token that an administrator made.")
    registrations_require_3pid: tuple[Medium, ...] = option((), "Addresses that a new user must give: email, msisdn.")
    allowed_local_3pids: tuple[AllowedThreepid, ...] = option((), "The only addresses that users may give.")
    disable_msisdn_registration: bool = option(False, "Whether to ask nobody for a phone number.")
    enable_3pid_lookup: bool = option(True, "Whether users may look for others by address.")
    enable_3pid_changes: bool = option(True, "Whether users may change their addresses.")
    registration_shared_secret: str | None = option(
        None, "Whoever knows it can make accounts, administrators too, even if registration is closed.", secret=True
    )
    allow_guest_access: bool = option(False, "Whether guests, who have no account, may look at rooms that let them.")
    inhibit_user_in_use_error: bool = option(False, "Whether to hide, until the end, that a user name is taken.")
    allow_underscore_prefixed_registration: bool = option(
        False, "Whether user names may begin with an underscore, as those of bridges do."
    )
    auto_join_rooms: tuple[RoomAlias, ...] = option((), "Rooms that every new user joins.")
    auto_join_rooms_for_guests: bool = option(True, "Whether guests join them too.")
    autocreate_auto_join_rooms: bool = option(True, "Whether the first user makes them, if they do not exist.")
    autocreate_auto_join_rooms_federated: bool = option(True, "Whether users of other servers may join them then.")
    autocreate_auto_join_room_preset: Literal["public_chat", "private_chat", "trusted_private_chat"] = option(
        "public_chat", "Who may join them then: everyone, or those who are invited."
    )
    auto_join_mxid_localpart: str | None = option(None, "The user who makes them and invites to them.")

    def check(self) -> None:
        verified = self.registration_requires_token or self.registrations_require_3pid
        if self.enable_registration and not verified and not self.enable_registration_without_verification:
            raise BadValue(
                "open to spammers: ask for a check (registration_requires_token: true, or registrations_require_3pid),"
                " or say enable_registration_without_verification: true",
                key="enable_registration",
            )
        if self.auto_join_mxid_localpart is not None and not is_new_localpart(self.auto_join_mxid_localpart):
            raise BadValue("is no user name", key="auto_join_mxid_localpart")
        by_invitation = self.autocreate_auto_join_rooms and self.autocreate_auto_join_room_preset != "public_chat"
        if by_invitation and self.auto_join_mxid_localpart is None:
            raise BadValue("must be given, since someone must invite to the rooms", key="auto_join_mxid_localpart")
