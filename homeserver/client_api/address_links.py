"""Where the link in a mail leads: a page with one button.

The page itself confirms nothing, since programs that look after people's mail open every link in it.
"""

from homeserver.services.users.address_checks import LINK, AddressChecks
from homeserver.web.call import Call
from homeserver.web.pages import page
from homeserver.web.replies import Answer, redirect
from homeserver.web.router import Access, Body, route
from matrix.errors import MatrixError
from storage.threepids import Check


class AddressLinksApi:
    def __init__(self, *, checks: AddressChecks) -> None:
        self._checks = checks

    @route("GET", LINK, access=Access.PUBLIC)
    async def show(self, call: Call) -> Answer:
        try:
            check = await self._find(call)
        except MatrixError as error:
            return page("This did not work", error.message, status=error.status)
        return page(
            "Confirm your address",
            f"Is {check.address} your address, and did you ask for this mail?",
            # To the same address: the token stays in the query.
            form='<form method="post"><button>Yes, confirm it</button></form>',
        )

    @route("POST", LINK, access=Access.PUBLIC, body=Body.NONE)
    async def confirm(self, call: Call) -> Answer:
        try:
            check = await self._find(call)
        except MatrixError as error:
            return page("This did not work", error.message, status=error.status)
        await self._checks.pass_(check)
        if check.next_link is not None:
            return redirect(check.next_link, 303)
        return page("Thank you", "Your address is confirmed. Go back to where you came from.")

    async def _find(self, call: Call) -> Check:
        query = call.query
        return await self._checks.find_open(query.text("sid"), query.text("client_secret"), query.text("token"))
