"""What a new account gets, wired."""

from homeserver.app.core import Core
from homeserver.app.users import OnUser, Users
from homeserver.services.push.pushers import Pushers
from matrix.ids import UserId


def build_welcome(core: Core, users: Users, pushers: Pushers) -> OnUser:
    email = core.config.notifications.email
    has_mails = email.enable_notifs and email.notif_for_new_users

    async def welcome(user_id: UserId) -> None:
        if has_mails:
            for address in await users.contacts.addresses.list_of(user_id):
                if address.medium == "email":
                    await pushers.add_mails(user_id, address.address)

    return welcome
