"""When each device was last used, noted at every request and written at most once a minute for each device."""

from homeserver.runtime.clock import Clock
from homeserver.services.users.sessions import Session
from homeserver.web.call import Call
from storage.database import Database
from storage.devices import Sighting, put_sightings

# As often as `flush` is called, and a device is noted again.
EVERY_S = 60
# A row holds no more of it; real ones are below 300.
_USER_AGENT_LENGTH = 512
# One statement writes so many.
_MAX_BATCH = 5_000


class LastSeen:
    """`flush` is called every EVERY_S, and at stop."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._sightings: dict[tuple[str, str], Sighting] = {}

    def note(self, session: Session, call: Call) -> None:
        """On the hot path: nothing but a comparison, save once a minute."""
        if call.received_ms - session.last_seen_ms < EVERY_S * 1000:
            return
        session.last_seen_ms = call.received_ms
        self.note_device(session.requester.user_id, session.requester.device_id, call)

    def note_device(self, user_id: str, device_id: str | None, call: Call) -> None:
        if device_id is not None:
            user_agent = call.user_agent.replace("\x00", "")[:_USER_AGENT_LENGTH]
            sighting = Sighting(user_id, device_id, call.received_ms, call.client_ip, user_agent)
            self._sightings[user_id, device_id] = sighting

    def pending(self, user_id: str) -> dict[str, Sighting]:
        """What is not written yet, by device."""
        return {device: sighting for (user, device), sighting in self._sightings.items() if user == user_id}

    async def flush(self) -> None:
        """Writes what has gathered; what fails is lost, and noted again within a minute."""
        sightings, self._sightings = list(self._sightings.values()), {}
        for start in range(0, len(sightings), _MAX_BATCH):
            await self._db.run(put_sightings, sightings[start : start + _MAX_BATCH])
