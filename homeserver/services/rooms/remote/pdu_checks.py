"""The first three checks on receipt: is it an event, is it signed, is its content what was hashed?

Source: server-server API, "Checks performed on receipt of a PDU", 1 to 3.
"""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.runtime.garbage import leave_alone
from homeserver.runtime.slices import slices
from matrix.errors import BadEvent, BadSignature
from matrix.event_format import parse_signed
from matrix.events import Event, Json
from matrix.hashing import check_content_hash
from matrix.redaction import redact_event
from matrix.room_versions import RoomVersion

# Some 100 us each: so many before others have their turn.
SLICE = 25
# After so many events they are the state of a large room, and all of them are going to live for a while.
LARGE = 500


class Signatures(Protocol):
    async def check_events(
        self, pdus: Sequence[Json], version: RoomVersion, signed: Sequence[bytes]
    ) -> Sequence[BadSignature | None]:
        """For each PDU what is wrong with its signatures, None if nothing. `signed`: what they cover."""


@frozen
class Faulty:
    """A PDU that is to be dropped, and why."""

    reason: str


class PduChecks:
    def __init__(self, *, signatures: Signatures, clock: Clock) -> None:
        self._signatures = signatures
        self._clock = clock

    async def check(self, pdus: Sequence[Json], version: RoomVersion) -> list[Event | Faulty]:
        """The events of the PDUs, in their order. Where the content is not what was hashed, the redacted event."""
        found: list[Event | Faulty] = []
        parsed: list[Json] = []
        signed: list[bytes] = []
        for at, pdu in enumerate(pdus, 1):
            try:
                one, covered = parse_signed(pdu, version)
            except BadEvent as error:
                found.append(Faulty(str(error)))
            else:
                found.append(one)
                parsed.append(pdu)
                signed.append(covered)
            if at % SLICE == 0:
                await self._give_way(at)
        faults = await self._signatures.check_events(parsed, version, signed) if parsed else ()
        signed.clear()
        told = zip(parsed, faults, strict=True)
        for at, checked in enumerate(found, 1):
            if not isinstance(checked, Event):
                continue
            pdu, fault = next(told)
            if fault is not None:
                found[at - 1] = Faulty(str(fault))
            elif not check_content_hash(pdu, version):
                found[at - 1] = redact_event(checked)
            if at % SLICE == 0:
                await self._give_way(at)
        return found

    async def _give_way(self, at: int) -> None:
        if at % LARGE == 0:
            leave_alone()
        await self._clock.sleep(0)

    async def events_of(self, pdus: Sequence[Json], version: RoomVersion) -> list[Event]:
        """Those that pass."""
        events: list[Event] = []
        async for part in slices(await self.check(pdus, version), self._clock):
            events += [one for one in part if isinstance(one, Event)]
        return events
