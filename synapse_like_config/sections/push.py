"""Notifications, by push and by e-mail."""

from pathlib import Path
from typing import Any

from attrs import frozen

from synapse_like_config.reading import Json, option, section
from synapse_like_config.units import BadValue, BaseUrl, Milliseconds


@frozen
class Push:
    """Push notifications."""

    enabled: bool = option(True, "Whether they are sent.")
    include_content: bool = option(True, "Whether they carry the message, or only that there is one.")
    group_unread_count_by_room: bool = option(True, "Whether their number counts rooms, not messages.")
    jitter_delay: Milliseconds = option(Milliseconds(0), "Up to how long each is held back, so as to hide who talks.")


@frozen
class Email:
    """Mails to users."""

    smtp_host: str = option("localhost", "The mail server.")
    smtp_port: int | None = option(None, "Its port. Null: 465 with force_tls, else 25.")
    smtp_user: str | None = option(None, "Our name there.")
    smtp_pass: str | None = option(None, "Our password there.", secret=True)
    force_tls: bool = option(False, "Whether TLS is spoken from the beginning.")
    require_transport_security: bool = option(False, "Whether never to send without TLS.")
    enable_tls: bool = option(True, "Whether to turn to TLS if the server can.")
    tlsname: str | None = option(None, "The name in its certificate, if it is not smtp_host.")
    notif_from: str | None = option(None, "The sender; %(app)s stands for app_name. Null: no mails are sent.")
    app_name: str = option("Matrix", "What mails call this service.")
    enable_notifs: bool = option(False, "Whether users may be told of messages by mail.")
    notif_for_new_users: bool = option(True, "Whether new users are, unless they say otherwise.")
    notif_delay_before_mail: Milliseconds = option(Milliseconds(600_000), "How long a message may be unread before.")
    client_base_url: BaseUrl = option(BaseUrl("https://matrix.to"), "Where links in mails lead: a web client.")
    validation_token_lifetime: Milliseconds = option(Milliseconds(3_600_000), "How long a token in a mail is good.")
    invite_client_location: BaseUrl | None = option(None, "Where invitations by mail lead: a web client.")
    subjects: dict[str, Any] = option({}, "The subjects of mails, by their kind.")
    template_dir: Path | None = option(None, "A directory with templates of your own.")
    notif_template_html: str = option("notif_mail.html", "The template of mails of unread messages.")
    notif_template_text: str = option("notif_mail.txt", "The same, as plain text.")

    @staticmethod
    def adapt(raw: Json) -> Json:
        # Synapse takes the port as a text too.
        port = raw.get("smtp_port")
        return {**raw, "smtp_port": int(port)} if isinstance(port, str) and port.isascii() and port.isdigit() else raw

    def check(self) -> None:
        if self.enable_notifs and self.notif_from is None:
            raise BadValue("must be given, to send notifications", key="notif_from")
        if self.force_tls and not self.enable_tls:
            raise BadValue("cannot be true without enable_tls", key="force_tls")

    @property
    def can_send(self) -> bool:
        return self.notif_from is not None


@frozen
class Notifications:
    """Notifications."""

    push: Push = section(Push, "Push notifications.")
    email: Email = section(Email, "Mails to users.")
