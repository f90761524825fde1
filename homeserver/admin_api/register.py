"""Registration with the shared secret of the configuration.

Source: Synapse, "Shared-Secret Registration".
"""

from homeserver.services.users.login import DeviceWish, Login
from homeserver.services.users.shared_secret import SharedSecretRegistration
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route

PATH = "/_synapse/admin/v1/register"


class SharedSecretApi:
    def __init__(self, *, shared_secret: SharedSecretRegistration, login: Login) -> None:
        self._shared_secret = shared_secret
        self._login = login

    @route("GET", PATH, access=Access.PUBLIC)
    async def get_nonce(self, call: Call) -> Answer:
        return {"nonce": self._shared_secret.nonce()}

    @route("POST", PATH, access=Access.PUBLIC)
    async def register(self, call: Call) -> Answer:
        body = call.json()
        wish = DeviceWish.read(body)
        return await self._login.answer_registration(await self._shared_secret.register(body), wish)
