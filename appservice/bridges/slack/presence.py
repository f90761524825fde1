"""Who of Slack is there. Apps are not told: the bridge asks about those who were seen lately, a few at a time."""

from collections import OrderedDict

from appservice.bridges.core.errors import NetworkError
from appservice.bridges.core.network import Bridge
from appservice.bridges.core.outgoing import Presence
from appservice.bridges.slack.team import Team

# users.getPresence may be asked for 50 times a minute; half of that leaves room.
EVERY_S = 60.0
ASKED_AT_ONCE = 25
WATCHED = 200


class PresenceWatch:
    """Of one workspace."""

    def __init__(self, *, team: Team, bridge: Bridge) -> None:
        self._team = team
        self._bridge = bridge
        self._people: OrderedDict[str, Presence | None] = OrderedDict()

    def seen(self, user: str) -> None:
        """Somebody who wrote, reacted or typed."""
        if user.startswith(("U", "W")) and user != self._team.bot_user:
            self._people[user] = self._people.pop(user, None)
            while len(self._people) > WATCHED:
                self._people.popitem(last=False)

    def watched(self) -> list[str]:
        return list(self._people)

    async def look(self) -> None:
        """Asks about those who were not asked about for longest."""
        if not self._team.is_ready:
            return
        for user in list(self._people)[-ASKED_AT_ONCE:]:
            try:
                answer = await self._team.api.call(self._team.bot, "users.getPresence", user=user)
            except NetworkError:
                return
            self.told(user, str(answer.get("presence")))

    def told(self, user: str, word: str) -> None:
        presence: Presence = "online" if word == "active" else "unavailable"
        if user in self._people and self._people[user] == presence:
            return
        if user in self._people:
            self._people[user] = presence
        self._bridge.presence(self._team.full_person(user), presence)
