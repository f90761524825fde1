"""What state resolution has taken back again is left out of timelines."""

from collections.abc import Mapping, Sequence

from homeserver.services.sync.plan import MEMBER, after_void, lost
from matrix.events import StateKey
from storage.events import Events, StoredEvent


async def without_void(
    store: Events, events: Sequence[StoredEvent], state: Mapping[StateKey, int]
) -> list[StoredEvent]:
    """The events after the last that the state at their end contradicts. See `after_void`."""
    members = [state[key] for key in lost(events, state) if key[0] == MEMBER and key in state]
    return after_void(events, state, await store.get(members) if members else {})
