"""Importing history by batch, wired."""

from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.app.core import Core
from homeserver.app.remote_rooms import build_historic
from homeserver.app.room_changes import RoomChanges
from homeserver.app.rooms import Rooms
from homeserver.app.users import Users
from homeserver.client_api.batch_send import BatchSendApi
from homeserver.services.history_import.authors import Authors
from homeserver.services.history_import.past import Past, PastParts
from homeserver.services.history_import.service import HistoryImport, ImportParts
from matrix.ids import UserId
from storage.interning import HISTORY_BLOCK, Nids


def batch_send_api(core: Core, registry: Registry, users: Users, rooms: Rooms, changes: RoomChanges) -> BatchSendApi:
    storage = core.storage

    async def make_user(service: Registration, user_id: UserId) -> None:
        if await users.accounts.find(user_id) is None:
            await users.registration.register_for_appservice(user_id.localpart, service)

    def owns_user(service_id: str, user_id: UserId) -> bool:
        service = registry.by_id(service_id)
        return service is not None and service.owns_user(user_id)

    past = Past(
        PastParts(
            events=storage.events,
            historic=build_historic(core, rooms.remote, heads=rooms.heads, intake=rooms.intake),
            gathering=rooms.remote.gathering,
            states=rooms.remote.states,
            contents=changes.contents,
            signer=core.signer,
        )
    )
    authors = Authors(
        registry=registry,
        heads=rooms.heads,
        members=rooms.members,
        membership=changes.membership,
        make_user=make_user,
    )
    history = HistoryImport(
        ImportParts(
            heads=rooms.heads,
            members=rooms.members,
            events=storage.events,
            intake=rooms.intake,
            database=storage.database,
            committer=storage.committer,
            positions=Nids("history_positions", HISTORY_BLOCK, database=storage.database),
            authors=authors,
            past=past,
            receipts=rooms.receipts,
            owns_user=owns_user,
        )
    )
    return BatchSendApi(history=history)
