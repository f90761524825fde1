"""How the bridge is: connections, logins, what waits."""

from appservice.bridges.core.context import Context
from appservice.bridges.core.logins import Logins
from appservice.bridges.core.network import Connected
from appservice.bridges.core.portals import Portals
from appservice.bridges.core.texts import counted
from storage import bridges_inbox as rows


class Status:
    """Keeps what the network told of its connections."""

    def __init__(self, *, context: Context, portals: Portals, logins: Logins) -> None:
        self._context, self._portals, self._logins = context, portals, logins
        self._connections: dict[str | None, Connected] = {}
        self._gauge = context.metrics.gauge("bridge_connected", "Is the bridge connected to its network?")
        self._gauge.set(0)

    def saw(self, state: Connected) -> Connected | None:
        """Keeps it; gives what was so before."""
        before = self._connections.get(state.login)
        self._connections[state.login] = state
        if state.login is None:
            self._gauge.set(int(state.is_connected))
        return before

    def forget(self, login: str) -> None:
        self._connections.pop(login, None)

    @property
    def is_connected(self) -> bool:
        own = self._connections.get(None)
        return own is not None and own.is_connected

    async def lines(self, user_id: str) -> list[str]:
        own = self._connections.get(None)
        title = self._context.network.title
        if own is None:
            first = f"Not connected to {title} yet."
        else:
            how = "Connected" if own.is_connected else "Not connected"
            first = f"{how} to {title}" + (f": {own.text}" if own.text else ".")
        waiting, since_ms = await self._context.store.read(rows.depth)
        lines = [first, counted(len(self._portals.all()), "channel is bridged.", "channels are bridged.")]
        age_s = (self._context.clock.now_ms() - (since_ms or 0)) // 1000
        # Who asks in a room waits for the answer there, which is no more than a moment.
        if waiting > 1 or (waiting and age_s > 1):
            wait = counted(waiting, "event waits", "events wait")
            lines.append(f"{wait} to be bridged, the oldest for {age_s} s.")
        for row in self._logins.of_user(user_id):
            state = self._connections.get(row.login_id)
            how = f"lost: {row.lost}" if row.lost else "" if state is None else state.text
            lines.append(f"You are signed in as **{row.name}**" + (f" ({how})" if how else "") + ".")
        if self._context.settings.level_of(user_id) == "admin":
            lines += await self._context.network.status()
        return lines
