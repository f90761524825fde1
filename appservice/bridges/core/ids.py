"""Ids of a network. Core never looks into them: it keeps them, compares them and hands them back."""

from typing import Any, NewType

# A team, a guild; also a category of channels in one. A Matrix space.
SpaceId = NewType("SpaceId", str)
# What one portal room shows: a channel, a direct chat. Threads are no channels of their own, even where the network
# has it so.
ChannelId = NewType("ChannelId", str)
# Whoever may write: a person, a bot, a webhook under one of its names. Letters of any kind: core escapes them in the
# names of ghosts.
PersonId = NewType("PersonId", str)
# Unique in its channel.
MessageId = NewType("MessageId", str)
# One of the Matrix events that a message becomes; "" is the first. Stays the same when the message is edited.
PartId = NewType("PartId", str)
ThreadId = NewType("ThreadId", str)
# Unicode emoji have ids too: the character itself.
EmojiId = NewType("EmojiId", str)
# The network's id of an account that a Matrix user has signed in with.
LoginId = NewType("LoginId", str)

JsonDict = dict[str, Any]

MAIN_PART = PartId("")
