"""This server as a policy server of rooms. Synapse has no such section."""

import re
from pathlib import Path

from attrs import frozen

from synapse_like_config.reading import option, section
from synapse_like_config.units import BadValue, Rate


@frozen
class PolicyServer:
    """Signing events of rooms that ask for it, or refusing to."""

    enabled: bool = option(False, "Whether rooms may name this server as their policy server.")
    signing_key_path: Path | None = option(
        None, "The file with the key that signs, made if it is not there. Null: `policy.key` in the data directory."
    )
    rooms: tuple[str, ...] | None = option(None, "The rooms to sign for: ids, `*` for any characters. Null: all.")
    blocked_servers: tuple[str, ...] = option(
        (), "Servers whose users may not take part; `*.example.org` is a pattern."
    )
    blocked_users: tuple[str, ...] = option((), "Users who may not take part; `@spam*:*` is a pattern.")
    exempt_users: tuple[str, ...] = option((), "Users for whom no rule holds.")
    exempt_power_level: int | None = option(50, "From this power level on no rule holds. Null: they hold for all.")
    blocked_types: tuple[str, ...] = option((), "Event types and msgtypes that are refused: `m.image`, `m.sticker`.")
    blocked_words: tuple[str, ...] = option((), "Words and phrases that are refused, in any case.")
    blocked_patterns: tuple[str, ...] = option(
        (), "Regular expressions for what is refused. Texts are in lower case. Slow expressions make a slow server."
    )
    blocked_message: str = option("This is not wanted here", "What is told to who writes such words.")
    max_mentions: int | None = option(None, "How many users one event may mention. Null: any number.")
    block_room_mentions: bool = option(False, "Whether nobody may call the whole room.")
    events_per_user: Rate | None = option(None, "How many events of one user in a room are signed. Null: any number.")

    def check(self) -> None:
        for pattern in self.blocked_patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise BadValue(f"{pattern!r} is no regular expression: {error}", key="blocked_patterns") from error
        if any(not word.strip() for word in self.blocked_words):
            raise BadValue("a word is empty", key="blocked_words")


@frozen
class Policies:
    """Policies of rooms."""

    policy_server: PolicyServer = section(PolicyServer, "This server as a policy server.")
