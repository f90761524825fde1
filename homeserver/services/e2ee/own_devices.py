"""What other servers may know of our users' devices and keys.

Not the user-signing key, which is the user's own, and the devices' names only if the operator allows it.

Source: server-server API, "Device Management" and "End-to-End Encryption".
"""

from collections.abc import Collection, Mapping

import orjson

from homeserver.services.e2ee.keys import Keys
from homeserver.services.e2ee.seams import IsLocal, Json
from matrix.errors import InvalidParam
from matrix.ids import UserId
from storage import device_list_updates as rows
from storage.database import Database
from storage.device_keys import PublishedKeys


class OwnDevices:
    """`with_names`: whether others see the devices' names."""

    def __init__(self, *, database: Database, keys: Keys, is_local: IsLocal, with_names: bool) -> None:
        self._database = database
        self._keys = keys
        self._is_local = is_local
        self._with_names = with_names

    async def list_of(self, user_id: UserId) -> Json:
        """The answer of user/devices. Raises: InvalidParam for another server's user."""
        self._check_own(user_id)
        # In this order: what changes in between is told again by an update, which may not be the other way round.
        stream_id = await self._database.read(rows.find_last, user_id)
        keys = (await self._keys.published({user_id: ()}))[user_id]
        answer: Json = {
            "user_id": str(user_id),
            "stream_id": stream_id,
            "devices": [self.listed(keys, device_id) for device_id in sorted(keys.devices)],
        }
        for usage in ("master", "self_signing"):
            if usage in keys.cross_signing:
                answer[f"{usage}_key"] = keys.cross_signing[usage]
        return answer

    async def keys_of(self, user_ids: Collection[str]) -> dict[str, PublishedKeys]:
        """Of each of the users, who may have none. No service is asked."""
        return await self._keys.known(user_ids)

    def listed(self, keys: PublishedKeys, device_id: str) -> Json:
        """A device as lists and updates have it: `keys` if it shows any, its name if it has one that may be told."""
        listed: Json = {"device_id": device_id}
        if device_id in keys.devices:
            device = orjson.loads(keys.devices[device_id])
            name = device.pop("unsigned", {}).get("device_display_name")
            listed["keys"] = device
            if name is not None and self._with_names:
                listed["device_display_name"] = name
        return listed

    async def query(self, wanted: Mapping[UserId, Collection[str]]) -> Json:
        """The answer of user/keys/query. Raises: InvalidParam for another server's user."""
        self._check_own(*wanted)
        answer = await self._keys.query_local(wanted, with_names=self._with_names)
        del answer["user_signing_keys"]
        return answer

    async def claim(self, wanted: Mapping[UserId, Mapping[str, str]]) -> Json:
        """The answer of user/keys/claim. Raises: InvalidParam for another server's user."""
        self._check_own(*wanted)
        return {"one_time_keys": await self._keys.claim_local(wanted)}

    def _check_own(self, *user_ids: UserId) -> None:
        for user_id in user_ids:
            if not self._is_local(user_id.domain):
                raise InvalidParam(f"{user_id} is not a user of this server")
