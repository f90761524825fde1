"""Mails of unread messages, wired."""

import hashlib

from attrs import frozen

from homeserver.app.addresses import build_mailer
from homeserver.app.core import Core
from homeserver.app.rooms import Rooms
from homeserver.app.users import Users
from homeserver.services.push.due import DueEvents
from homeserver.services.push.mail_delivery import EVERY_S, MailDelivery
from homeserver.services.push.mail_digest import DigestSettings, MailDigests
from homeserver.services.push.mail_templates import BadTemplate, MailTemplates
from homeserver.services.push.pushers import Pushers
from homeserver.services.push.unsubscribing import Unsubscribing
from homeserver.services.rooms.room_titles import RoomTitles
from homeserver.services.rooms.summary import Summaries
from matrix.ids import UserId
from storage.pushers import SHARDS
from storage.shard_locks import MAILS, ShardLocks
from synapse_like_config import ConfigFault


@frozen(kw_only=True)
class Mails:
    delivery: MailDelivery
    unsubscribing: Unsubscribing


def build_mails(core: Core, users: Users, rooms: Rooms, pushers: Pushers, due: DueEvents) -> Mails | None:
    """None where the operator wants none. Raises: ConfigFault for a template that cannot be used."""
    options, mailer = core.config.notifications.email, build_mailer(core)
    if not options.enable_notifs or mailer is None:
        return None
    unsubscribing = Unsubscribing(secret=_secret(core), base_url=core.config.base_url, pushers=pushers)
    digests = MailDigests(
        settings=DigestSettings(
            app_name=options.app_name,
            server_name=core.server_name,
            client_base_url=options.client_base_url,
            delay_ms=options.notif_delay_before_mail,
            with_content=core.config.notifications.push.include_content,
        ),
        heads=rooms.heads,
        titles=RoomTitles(heads=rooms.heads, summaries=Summaries(members=rooms.members, heads=rooms.heads)),
        display_name=lambda user_id: _display_name(users, user_id),
        templates=_templates(core),
        unsubscribing=unsubscribing,
        mailer=mailer,
    )
    delivery = MailDelivery(
        stream=core.storage.stream,
        pushers=pushers,
        members=rooms.members,
        due=due,
        digests=digests,
        locks=ShardLocks(core.storage.dsn, reactor=core.reactor, work=MAILS, count=SHARDS),
        clock=core.clock,
    )
    core.storage.read_by(delivery.read_stream)
    core.metrics.gauge_of("mail_pushers", "Pushers of kind email that this process sends for", delivery.count)
    core.tasks.repeat("push.mails", EVERY_S, delivery.look)
    return Mails(delivery=delivery, unsubscribing=unsubscribing)


def _templates(core: Core) -> MailTemplates:
    options = core.config.notifications.email
    try:
        return MailTemplates(
            base_url=core.config.base_url,
            subjects={name: text for name, text in options.subjects.items() if isinstance(text, str)},
            directory=options.template_dir,
            html=options.notif_template_html,
            text=options.notif_template_text,
        )
    except BadTemplate as error:
        raise ConfigFault([f"email.template_dir: {error}"]) from error


def _secret(core: Core) -> bytes:
    said = core.config.keys.macaroon_secret_key
    return hashlib.sha256(b"unsubscribe" + ((core.signer.key.line() if said is None else said).encode())).digest()


async def _display_name(users: Users, user_id: UserId) -> str | None:
    name = (await users.profiles.of_local_users([user_id]))[user_id].get("displayname")
    return name if isinstance(name, str) else None
